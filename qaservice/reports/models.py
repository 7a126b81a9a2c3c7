"""Validation reports and evidence kits, as exported."""

from __future__ import annotations

from django.db import models

from compliance.base import WriteOnceModel
from qaservice.analysis.models import AnalysisRun
from qaservice.labels.models import DatasetVersion
from qaservice.projects.models import Project
from qaservice.storage.models import Blob


class ValidationReport(WriteOnceModel):
    """One exported report: which dataset version, at which ledger head.

    ``draft``: as its pages were printed, which signing never changes. Whether a report is approved now is computed from
    its signatures (``reports.signing.approval_of``).
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="reports")
    number = models.PositiveIntegerField()
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="reports")
    run = models.ForeignKey(AnalysisRun, on_delete=models.PROTECT, null=True, related_name="reports")
    ledger_size = models.PositiveBigIntegerField()
    ledger_head = models.CharField(max_length=64)
    document = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+")
    facts = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+", help_text="the figures, as JSON")
    draft = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="report_number_once")]

    def __str__(self) -> str:
        return f"report {self.number}"
