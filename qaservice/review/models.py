"""Expert review: who was asked, what they were shown, what they decided, and what followed."""

from __future__ import annotations

from django.db import models

from compliance.base import VersionedModel, WriteOnceModel
from qaservice.accounts.models import User
from qaservice.analysis.models import Flag, FlagObservation
from qaservice.labels.models import DatasetVersion, FindingRevision
from qaservice.projects.models import Project


class Decision(models.TextChoices):
    LABEL_RIGHT = "label-right", "Label is right"
    LABEL_WRONG = "label-wrong", "Label is wrong"
    CANNOT_TELL = "cannot-tell", "Cannot tell"
    GUIDELINE_UNCLEAR = "guideline-unclear", "Guideline is unclear"
    EXCLUDE = "exclude", "Exclude"


class Phase(models.TextChoices):
    BLIND = "blind", "before the reveal"
    FINAL = "final", "after the reveal"


class AssignmentState(models.TextChoices):
    ASSIGNED = "assigned", "to be read"
    BLIND_VOTED = "blind-voted", "blind verdict given"
    REVEALED = "revealed", "opinions revealed"
    DONE = "done", "final verdict given"
    RELEASED = "released", "settled without this reader"


class Assignment(VersionedModel):
    """One reader's task on one round of a flag; its states are the order of steps (REQ-14, REQ-33)."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="assignments")
    flag = models.ForeignKey(Flag, on_delete=models.PROTECT, related_name="assignments")
    round = models.PositiveSmallIntegerField()
    reader = models.ForeignKey(User, on_delete=models.PROTECT, related_name="assignments")
    state = models.CharField(max_length=16, choices=AssignmentState.choices, default=AssignmentState.ASSIGNED)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flag", "round", "reader"], name="assignment_once")]

    def __str__(self) -> str:
        return f"{self.reader_id} on {self.flag_id} ({self.state})"


class Verdict(WriteOnceModel):
    """One decision by one reader in one phase, stamped with what the reader had been shown (REQ-32)."""

    assignment = models.ForeignKey(Assignment, on_delete=models.PROTECT, related_name="verdicts")
    flag = models.ForeignKey(Flag, on_delete=models.PROTECT, related_name="verdicts")
    round = models.PositiveSmallIntegerField()
    reader = models.ForeignKey(User, on_delete=models.PROTECT, related_name="verdicts")
    simulated = models.BooleanField()
    phase = models.CharField(max_length=8, choices=Phase.choices)
    decision = models.CharField(max_length=24, choices=Decision.choices)
    rationale = models.TextField()
    observation = models.ForeignKey(FlagObservation, on_delete=models.PROTECT, related_name="+")
    proposal_id = models.CharField(max_length=20, blank=True, help_text="the proposal accepted, where one was")
    correction = models.JSONField(null=True, help_text="what the label should be: action, category, shape")
    shown = models.JSONField(help_text="what had been shown when the verdict was given")
    given_at = models.DateTimeField()

    class Meta:
        constraints = [
            # Nobody votes twice in a phase; a final verdict is the one permitted revision.
            models.UniqueConstraint(fields=["flag", "round", "reader", "phase"], name="verdict_once_a_phase"),
            models.CheckConstraint(condition=~models.Q(rationale=""), name="verdict_has_a_rationale"),
        ]

    def __str__(self) -> str:
        return f"{self.decision} ({self.phase})"


class Consensus(WriteOnceModel):
    """What the protocol made of the verdicts of one round."""

    flag = models.ForeignKey(Flag, on_delete=models.PROTECT, related_name="consensuses")
    round = models.PositiveSmallIntegerField()
    outcome = models.CharField(max_length=24, choices=Decision.choices)
    rule = models.CharField(max_length=200, help_text="the rule that led here, in words")
    verdicts = models.JSONField(help_text="ids of the verdicts that carried it")
    reached_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flag", "round"], name="consensus_once_a_round")]

    def __str__(self) -> str:
        return f"{self.flag_id}: {self.outcome}"


class Correction(WriteOnceModel):
    """The change to the reference standard that a consensus led to (REQ-11)."""

    consensus = models.OneToOneField(Consensus, on_delete=models.PROTECT, related_name="correction")
    action = models.CharField(max_length=20)
    before = models.ForeignKey(FindingRevision, on_delete=models.PROTECT, null=True, related_name="+")
    after = models.ForeignKey(FindingRevision, on_delete=models.PROTECT, related_name="+")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="corrections")

    def __str__(self) -> str:
        return f"{self.action} after {self.consensus_id}"
