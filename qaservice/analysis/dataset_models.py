"""What is remembered of each series for checks over the whole dataset, and what they found that has no place."""

from __future__ import annotations

from django.db import models

from compliance.base import VersionedModel, WriteOnceModel
from qaservice.projects.models import LabelRules, Project
from qaservice.storage.models import Blob
from qaservice.studies.models import Series


class ConcernState(models.TextChoices):
    OPEN = "open", "open"
    CONFIRMED = "confirmed", "confirmed"
    DISMISSED = "dismissed", "dismissed"


class SeriesFactsRow(WriteOnceModel):
    """One run's facts about a series: numbers without the image, by which series are compared with each other."""

    run = models.ForeignKey("analysis.AnalysisRun", on_delete=models.PROTECT, related_name="series_facts")
    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="facts")
    facts = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+", help_text="facts, as JSON")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "series"], name="series_facts_once")]

    def __str__(self) -> str:
        return f"facts of {self.series_id} in {self.run_id}"


class DatasetPass(WriteOnceModel):
    """How the checks over the whole dataset ended in one run, and by which parameters and rules."""

    run = models.OneToOneField("analysis.AnalysisRun", on_delete=models.PROTECT, related_name="dataset_pass")
    parameters = models.JSONField()
    rules = models.ForeignKey(LabelRules, on_delete=models.PROTECT, null=True, related_name="passes")
    checks = models.JSONField(help_text="name, version, status and number of issues of each check")

    def __str__(self) -> str:
        return f"dataset pass of {self.run_id}"


class Concern(VersionedModel):
    """Something about the dataset that has no place in an image: for the QA lead. Its identity outlives runs."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="concerns")
    number = models.PositiveIntegerField(help_text="C-number, for people")
    check_name = models.CharField(max_length=40)
    kind = models.CharField(max_length=60)
    subject = models.CharField(max_length=300, help_text="what it is about: with check and kind its identity")
    score = models.FloatField(help_text="probability that something is wrong, when it was raised")
    state = models.CharField(max_length=16, choices=ConcernState.choices, default=ConcernState.OPEN)
    settled_because = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="concern_number_once"),
            models.UniqueConstraint(
                fields=["project", "check_name", "kind", "subject"], name="concern_raised_once_for_its_subject"
            ),
            models.CheckConstraint(
                condition=models.Q(score__gte=0) & models.Q(score__lte=1), name="concern_score_is_a_probability"
            ),
            models.CheckConstraint(
                condition=(models.Q(state="open") & models.Q(settled_because=""))
                | (~models.Q(state="open") & ~models.Q(settled_because="")),
                name="concern_reason_exactly_when_settled",
            ),
        ]
        ordering = ["project", "number"]

    def __str__(self) -> str:
        return f"C-{self.number:04d}"


class ConcernObservation(WriteOnceModel):
    """One run's evidence for a concern."""

    concern = models.ForeignKey(Concern, on_delete=models.PROTECT, related_name="observations")
    run = models.ForeignKey("analysis.AnalysisRun", on_delete=models.PROTECT, related_name="concern_observations")
    check_version = models.CharField(max_length=20)
    score = models.FloatField()
    reason = models.TextField()
    series = models.JSONField(help_text="Series Instance UIDs concerned, most telling first")
    evidence = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["concern", "run"], name="concern_observed_once_a_run")]

    def __str__(self) -> str:
        return f"{self.concern_id} in {self.run_id}"
