"""One model of each class, with the awkward column types."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from compliance.base import OperationalModel, VersionedModel, WriteOnceModel


class Case(VersionedModel):
    operational_fields: ClassVar[frozenset[str]] = frozenset({"last_seen"})

    title = models.CharField(max_length=100)
    state = models.CharField(max_length=20, default="open")
    size_mm = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    score = models.FloatField(null=True)
    tags = models.JSONField(default=list)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    last_seen = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.title


class Slice(WriteOnceModel):
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="slices")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, default="image")
    position_mm = models.FloatField(default=0.0)
    facts = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "number"], name="slice_once"),
            models.UniqueConstraint(
                fields=["case"], condition=models.Q(kind="scout") & models.Q(number__gte=0), name="one_scout_a_case"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.case_id} {self.number}"


class Blob(WriteOnceModel):
    id = None
    sha256 = models.CharField(max_length=64, primary_key=True)
    size = models.BigIntegerField()

    def __str__(self) -> str:
        return self.sha256


class Lease(OperationalModel):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name
