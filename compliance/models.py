"""The ledger's own tables: events, their places in the sealed order, the tree over them, and the shapes of rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Never

from django.db import models
from django.db.models.base import ModelBase

from compliance.recorded_history import AppendOnlyManager, append_only


class LedgerTable(models.Model):
    """Base of these: written by compliance alone, past the guards that it puts before everybody else."""

    objects = AppendOnlyManager()

    class Meta:
        abstract = True

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> Never:
        raise append_only(type(self))

    def delete(self, using: Any = None, keep_parents: bool = False) -> Never:
        raise append_only(type(self))


class Event(LedgerTable):
    """One thing that happened: who did what to which record, when, why, and which rows were written with it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=100)
    occurred_at = models.DateTimeField(db_index=True)
    actor_id = models.CharField(max_length=200, db_index=True)
    actor_name = models.CharField(max_length=200)
    actor_role = models.CharField(max_length=100)
    simulated = models.BooleanField()
    reason = models.TextField()
    subject_type = models.CharField(max_length=100)
    subject_id = models.CharField(max_length=200)
    project_key = models.CharField(max_length=100, blank=True)
    # What a redaction removes, a field of ``payload`` with its salt, stays bound by its commitment.
    payload = models.JSONField()
    salts = models.JSONField()
    commitments = models.JSONField()
    rows = models.JSONField()
    # PostgreSQL's transaction id, set by a trigger; 0 on SQLite, which has none.
    txid = models.BigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["occurred_at", "id"]
        indexes = [
            # The id first: it nearly names the record, and a search may not know the type.
            models.Index(fields=["subject_id", "subject_type"], name="event_by_record"),
            # A page of a project's trail is read off this index, from where the last one ended.
            models.Index(fields=["project_key", "occurred_at", "id"], name="event_by_time"),
            models.Index(fields=["kind"], name="event_by_kind"),
        ]
        constraints = [
            # Triggers refuse white space too; these hold even where triggers are missing.
            models.CheckConstraint(condition=~models.Q(reason=""), name="event_has_a_reason"),
            models.CheckConstraint(
                condition=~models.Q(actor_id="") & ~models.Q(actor_name="") & ~models.Q(actor_role=""),
                name="event_has_an_actor",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject_type} {self.subject_id}"

    @property
    def redacted(self) -> list[str]:
        """The payload fields of which a commitment alone is left."""
        return sorted(set(self.commitments) - set(self.payload))


class LedgerEntry(LedgerTable):
    """An event's place in the sealed order, linked to the one before it."""

    index = models.PositiveBigIntegerField(primary_key=True)
    event = models.OneToOneField(Event, on_delete=models.PROTECT, related_name="entry")
    leaf_hash = models.CharField(max_length=64)
    link_hash = models.CharField(max_length=64)
    sealed_at = models.DateTimeField()

    class Meta:
        ordering = ["index"]
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return f"{self.index}: {self.link_hash}"


class Subtree(LedgerTable):
    """The hash of a complete subtree of 256, 65536, ... leaves, kept so that a proof need not read them all."""

    level = models.PositiveSmallIntegerField()
    index = models.PositiveBigIntegerField()
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["level", "index"]
        constraints = [models.UniqueConstraint(fields=["level", "index"], name="subtree_once")]

    def __str__(self) -> str:
        return f"{self.level}/{self.index}: {self.hash}"


class RowShape(LedgerTable):
    """The columns that digests of a table's rows cover, named by their own digest: a later model may have more."""

    id = models.CharField(max_length=16, primary_key=True)
    table = models.CharField(max_length=100)
    columns = models.JSONField()

    class Meta:
        ordering = ["table", "id"]

    def __str__(self) -> str:
        return f"{self.table}: {len(self.columns)} columns"
