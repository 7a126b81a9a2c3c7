"""How long records are kept, what holds them, what may be done with a study, and what was destroyed."""

from __future__ import annotations

from django.db import models

from compliance.base import OperationalModel, VersionedModel, WriteOnceModel
from qaservice.accounts.models import User
from qaservice.projects.models import Project
from qaservice.studies.models import RemovalCause, Study


class RecordClass(models.TextChoices):
    IMAGES = "images", "images: bytes of the instances, and arrays computed from them"
    LABELS = "labels", "labels: annotation files, outlines, readers' verdicts"
    REPORTS = "reports", "validation reports and their evidence"
    TRAIL = "trail", "the trail: events, history and signatures"


class Purpose(models.TextChoices):
    QUALITY = "label-quality", "checking labels"
    TRAINING = "training", "training models"
    EVALUATION = "evaluation", "evaluating models"
    RESEARCH = "research", "other research"
    SUBMISSION = "submission", "evidence for an authority"


class DispositionState(models.TextChoices):
    PROPOSED = "proposed", "proposed"
    APPROVED = "approved", "approved"
    CARRIED_OUT = "carried-out", "carried out"
    DROPPED = "dropped", "dropped"


class DestructionState(models.TextChoices):
    ORDERED = "ordered", "ordered"
    DONE = "done", "done and looked after"


class RetentionSchedule(WriteOnceModel):
    """One version of a project's schedule: for each record class how many years, and on what basis."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="retention_schedules")
    number = models.PositiveIntegerField()
    entries = models.JSONField(help_text="record class to years and basis")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="retention_schedule_once")]
        ordering = ["project", "number"]

    def __str__(self) -> str:
        return f"schedule, version {self.number}"


class LegalHold(VersionedModel):
    """Nothing of the project, or of one study, is destroyed while this stands."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="legal_holds")
    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="legal_holds", null=True)
    matter = models.CharField(max_length=200, help_text="what it is about, as the site refers to it")
    lifted_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.matter


class DataUse(VersionedModel):
    """What a study may be used for, and on what basis; or that the consent was withdrawn."""

    study = models.OneToOneField(Study, on_delete=models.PROTECT, related_name="data_use")
    purposes = models.JSONField(default=list)
    basis = models.CharField(max_length=200, help_text="consent form with its version, waiver, or contract")
    until = models.DateField(null=True, help_text="last day of the use; none where it has no end")
    withdrawn_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"use of {self.study_id}"


class Disposition(VersionedModel):
    """A proposal to destroy what need not be kept any more: one proposes, another approves, then it is carried out."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="dispositions")
    schedule = models.ForeignKey(RetentionSchedule, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=DispositionState.choices, default=DispositionState.PROPOSED)
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                # Nobody approves what they proposed themselves.
                condition=models.Q(approved_by=None) | ~models.Q(approved_by=models.F("proposed_by")),
                name="disposition_by_two",
            ),
        ]

    def __str__(self) -> str:
        return f"disposition ({self.state})"


class DispositionStudy(WriteOnceModel):
    """A study of which a disposition destroys the images."""

    disposition = models.ForeignKey(Disposition, on_delete=models.PROTECT, related_name="studies")
    study = models.ForeignKey(Study, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["disposition", "study"], name="disposition_study_once")]

    def __str__(self) -> str:
        return str(self.study_id)


class Destruction(VersionedModel):
    """The pixel data of one study, destroyed: how much, under which root over the digests, and what could not go."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="destructions")
    study = models.OneToOneField(Study, on_delete=models.PROTECT, related_name="destruction")
    cause = models.CharField(max_length=16, choices=RemovalCause.choices)
    disposition = models.ForeignKey(Disposition, on_delete=models.PROTECT, related_name="destructions", null=True)
    state = models.CharField(max_length=16, choices=DestructionState.choices, default=DestructionState.ORDERED)
    blobs = models.PositiveIntegerField(help_text="files that were to be destroyed")
    size = models.PositiveBigIntegerField(help_text="their bytes")
    root = models.CharField(max_length=64, help_text="Merkle root over their SHA-256, in ascending order")
    shared = models.PositiveIntegerField(help_text="files that another study holds too, and that stay for it")
    done_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.study_id}: {self.blobs} files ({self.state})"


class Watch(OperationalModel):
    """When something outside was last looked at, so that several workers do not all look."""

    name = models.CharField(max_length=40, primary_key=True)
    looked_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Told(OperationalModel):
    """A finding that administrators were alerted to, so that they are not every minute."""

    key = models.CharField(max_length=200, primary_key=True)
    told_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key
