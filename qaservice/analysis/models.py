"""Models, runs and flags: what was asked, what answered, and what now needs an expert."""

from __future__ import annotations

from django.db import models

from compliance.base import VersionedModel, WriteOnceModel
from qaservice.analysis import dataset_models  # noqa: F401  # Django looks for models here
from qaservice.labels.models import AnnotationSet, DatasetVersion, Finding
from qaservice.projects.models import Project
from qaservice.storage.models import Blob
from qaservice.studies.models import Series


class RunState(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    COMPLETED = "completed", "completed"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


class FlagState(models.TextChoices):
    OPEN = "open", "open"
    DISPUTED = "disputed", "readers disagree"
    SETTLED = "settled", "settled"


class QAModel(WriteOnceModel):
    """A MONAI bundle, pinned by the digest over all its files (REQ-36), or an algorithm that predicted elsewhere.

    The latter is pinned by the digest of the files that its predictions came in; its weights were never seen. A
    foreign bundle was made by others: its configuration is code, and it runs only where a project has approved it.
    """

    name = models.CharField(max_length=100)
    version = models.CharField(max_length=40)
    bundle_sha256 = models.CharField(max_length=64, unique=True)
    metadata = models.JSONField()
    model_card = models.TextField()
    external = models.BooleanField(default=False, help_text="its predictions were made elsewhere and imported")
    foreign = models.BooleanField(default=False, help_text="a bundle that others made: code that wants an approval")
    files = models.JSONField(default=list, help_text="name, size and SHA-256 of each file; the bytes are blobs")
    inspection = models.JSONField(
        default=dict, help_text="all that could be read of a foreign bundle without running it"
    )

    def __str__(self) -> str:
        name = f"{self.name} {self.version}".strip()
        return f"{name} (predictions made elsewhere)" if self.external else name


class ApprovalDecision(models.TextChoices):
    APPROVED = "approved", "approved"
    WITHDRAWN = "withdrawn", "approval withdrawn"


class ModelApproval(WriteOnceModel):
    """A project's decision that a foreign bundle's code may run here, or may no longer; its event says who and why.

    It holds for the digest that the deciding person saw, and for nothing else. The last one of a project counts.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="model_approvals")
    model = models.ForeignKey(QAModel, on_delete=models.PROTECT, related_name="approvals")
    sequence = models.PositiveIntegerField(help_text="order of the decisions on one model in one project")
    decision = models.CharField(max_length=16, choices=ApprovalDecision.choices)
    bundle_sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "model", "sequence"], name="model_approval_sequence_once")
        ]
        ordering = ["project", "model", "sequence"]

    def __str__(self) -> str:
        return f"{self.model_id} {self.decision} in {self.project_id}"


class AnalysisRun(VersionedModel):
    """One execution: models and checks with their parameters over a dataset version."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs")
    number = models.PositiveIntegerField()
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="runs")
    model = models.ForeignKey(QAModel, on_delete=models.PROTECT, related_name="runs")
    external_predictions = models.CharField(
        max_length=200, blank=True, help_text="whose imported predictions speak in the place of the QA model"
    )
    parameters = models.JSONField()
    software = models.JSONField(help_text="versions of what computed the result")
    state = models.CharField(max_length=16, choices=RunState.choices, default=RunState.QUEUED)
    failure = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="run_number_once")]
        ordering = ["project", "number"]

    def __str__(self) -> str:
        return f"run {self.number}"


class SeriesResult(WriteOnceModel):
    """What one run found on one series: the model's opinion and how every check ended."""

    run = models.ForeignKey(AnalysisRun, on_delete=models.PROTECT, related_name="results")
    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="results")
    prediction = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+", help_text="candidates, as JSON")
    input_sha256 = models.CharField(max_length=64)
    checks = models.JSONField(help_text="name, version, status and number of issues of each check")
    lesions = models.JSONField(help_text="findings matched across readers")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "series"], name="series_result_once")]

    def __str__(self) -> str:
        return f"{self.run_id} on {self.series_id}"


class Flag(VersionedModel):
    """A suspicion tracked through review. Its identity outlives runs and model versions."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="flags")
    number = models.PositiveIntegerField(help_text="F-number, for people")
    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="flags")
    check_name = models.CharField(max_length=40)
    annotation_set = models.ForeignKey(AnnotationSet, on_delete=models.PROTECT, related_name="flags")
    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, null=True, related_name="flags")
    x_mm = models.FloatField()
    y_mm = models.FloatField()
    z_mm = models.FloatField()
    radius_mm = models.FloatField()
    score = models.FloatField(help_text="probability that the label is wrong, as last observed")
    state = models.CharField(max_length=16, choices=FlagState.choices, default=FlagState.OPEN)
    outcome = models.CharField(max_length=24, blank=True, help_text="the settled decision")
    round = models.PositiveSmallIntegerField(default=1, help_text="grows when a settled flag reopens")
    reopened_because = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="flag_number_once"),
            models.CheckConstraint(
                condition=models.Q(score__gte=0) & models.Q(score__lte=1), name="flag_score_is_a_probability"
            ),
            models.CheckConstraint(
                condition=(models.Q(state="settled") & ~models.Q(outcome=""))
                | (~models.Q(state="settled") & models.Q(outcome="")),
                name="flag_outcome_exactly_when_settled",
            ),
        ]
        ordering = ["project", "number"]

    def __str__(self) -> str:
        return f"F-{self.number:04d}"


class RunPart(models.IntegerChoices):
    SERIES = 1, "checks of one series"
    DATASET = 2, "checks of the whole dataset"


class FlagObservation(WriteOnceModel):
    """One run's evidence for a flag: score, reasons, proposals.

    Where the checks of the whole dataset speak of a flag that the run has seen already, there is a second observation,
    which holds what the first held too.
    """

    flag = models.ForeignKey(Flag, on_delete=models.PROTECT, related_name="observations")
    run = models.ForeignKey(AnalysisRun, on_delete=models.PROTECT, related_name="observations")
    check_name = models.CharField(
        max_length=40, blank=True, default="", help_text="the check that led in this run; the flag's own where blank"
    )
    check_version = models.CharField(max_length=20)
    score = models.FloatField()
    expected_value = models.FloatField(null=True, help_text="probability x severity x size; by it lists are ordered")
    ambiguous = models.BooleanField(default=False, help_text="asks for adjudication and calls nothing wrong")
    blind_reason = models.TextField()
    reason = models.TextField()
    evidence = models.JSONField()
    implicated_sets = models.JSONField(help_text="ids of the annotation sets whose readers have a stake")
    proposals = models.JSONField(help_text="proposed corrections; masks by digest")
    model_sha256 = models.CharField(max_length=64)
    input_sha256 = models.CharField(max_length=64)
    threshold = models.FloatField(null=True, help_text="operating point of the model; none where it abstained")
    part = models.PositiveSmallIntegerField(
        choices=RunPart.choices, default=RunPart.SERIES, help_text="which part of the run said it; the later holds all"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["flag", "run", "part"], name="flag_observed_once_by_a_part_of_a_run")
        ]

    def __str__(self) -> str:
        return f"{self.flag_id} in {self.run_id}"


class GoldenCase(VersionedModel):
    """A series whose truth is known: one annotation set of it, as a dataset version froze it.

    The truth is read from that version's manifest, never from the set as it stands; ``truth_sha256`` pins it.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="golden_cases")
    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="golden_cases")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="+")
    annotation_set = models.ForeignKey(AnnotationSet, on_delete=models.PROTECT, related_name="+")
    truth_sha256 = models.CharField(max_length=64)
    nodules = models.PositiveIntegerField(
        help_text="findings that are to be found, before the threshold's smallest size"
    )
    synthetic = models.BooleanField(help_text="a phantom: its truth is exact, and says little about patients")
    active = models.BooleanField(default=True, help_text="False: withdrawn from the golden set")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "series"], condition=models.Q(active=True), name="golden_series_once"
            )
        ]
        ordering = ["project", "series__series_instance_uid"]

    def __str__(self) -> str:
        return f"golden case {self.series_id}"


class GoldenResult(WriteOnceModel):
    """What a model said of one golden case in one evaluation; a killed evaluation goes on after the last of them."""

    request = models.UUIDField(help_text="the event by which the evaluation was asked for")
    case = models.ForeignKey(GoldenCase, on_delete=models.PROTECT, related_name="results")
    truth_sha256 = models.CharField(max_length=64)
    input_sha256 = models.CharField(max_length=64, blank=True)
    candidates = models.JSONField(help_text="centre, LPS millimetres, and confidence of each")
    threshold = models.FloatField(null=True, help_text="the model's operating point")
    silent_because = models.CharField(max_length=500, blank=True, help_text="why the model had no opinion")
    left_out_because = models.CharField(
        max_length=500, blank=True, help_text="why the case proves nothing of the model"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "case"], name="golden_result_once")]

    def __str__(self) -> str:
        return f"{self.case_id} in {self.request}"


class FitnessOutcome(models.TextChoices):
    MET = "met", "met the threshold"
    NOT_MET = "not-met", "did not meet the threshold"
    TOO_FEW = "too-few", "too few golden nodules to tell"
    NO_THRESHOLD = "no-threshold", "measured without a threshold to meet"


class FitnessEvaluation(WriteOnceModel):
    """How a model did on the golden set, and whether that met the threshold that stood when it was measured."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="evaluations")
    number = models.PositiveIntegerField()
    model = models.ForeignKey(QAModel, on_delete=models.PROTECT, related_name="evaluations")
    request = models.UUIDField(unique=True, help_text="the event by which it was asked for")
    golden_sha256 = models.CharField(max_length=64, help_text="digest over the golden set's inputs and truths")
    cases = models.JSONField(help_text="series, digest of the truth and whether it was left out, for each case")
    threshold = models.JSONField(help_text="the project's threshold by which it was judged")
    figures = models.JSONField()
    plots = models.JSONField(help_text="name to the SHA-256 of the picture (SVG)")
    outcome = models.CharField(max_length=16, choices=FitnessOutcome.choices)
    why = models.CharField(max_length=500)
    software = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="evaluation_number_once")]
        ordering = ["project", "number"]

    def __str__(self) -> str:
        return f"evaluation {self.number}"


class Fitness(models.TextChoices):
    PROVEN = "proven", "proven model"
    UNPROVEN = "unproven", "unproven model"
    FAILED = "failed", "model that failed its fitness test"


class Independence(models.TextChoices):
    INDEPENDENT = "independent", "independent"
    NOT_INDEPENDENT = "not-independent", "not independent: the model was trained on this data"
    NOT_STATED = "not-stated", "training data not stated: independence cannot be shown"


class ModelPart(models.TextChoices):
    NONE = "none", "rests on the readers alone"
    HEARD = "heard", "would be raised without the model too"
    NEEDED = "needed", "rests on the model"


class RunStanding(WriteOnceModel):
    """Whether a run's model was fit when the run was asked for."""

    run = models.OneToOneField(AnalysisRun, on_delete=models.PROTECT, related_name="standing")
    fitness = models.CharField(max_length=16, choices=Fitness.choices)
    why = models.CharField(max_length=500)
    evaluation = models.ForeignKey(FitnessEvaluation, on_delete=models.PROTECT, null=True, related_name="+")

    def __str__(self) -> str:
        return f"{self.fitness} in {self.run_id}"


class RunCalibration(WriteOnceModel):
    """By what a run turns the checks' scores into probabilities: the shipped calibration and the project's verdicts."""

    run = models.OneToOneField(AnalysisRun, on_delete=models.PROTECT, related_name="calibration")
    shipped = models.JSONField(help_text="where the shipped calibration comes from, and which checks it speaks for")
    recalibration = models.JSONField(help_text="slope, shift of each check, and the number of verdicts behind it")

    def __str__(self) -> str:
        return f"calibration of {self.run_id}"


class SeriesStanding(WriteOnceModel):
    """Whether a run's model had been trained on a series, and whether it was kept from looking at it."""

    run = models.ForeignKey(AnalysisRun, on_delete=models.PROTECT, related_name="series_standings")
    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="standings")
    independence = models.CharField(max_length=16, choices=Independence.choices)
    why = models.CharField(max_length=500)
    refused = models.BooleanField(help_text="the model was not let to look at it")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "series"], name="series_standing_once")]

    def __str__(self) -> str:
        return f"{self.independence}: {self.series_id} in {self.run_id}"


class ObservationStanding(WriteOnceModel):
    """What one run's evidence for a flag was worth when it was given: how far it rests on the model, and on which."""

    observation = models.OneToOneField(FlagObservation, on_delete=models.PROTECT, related_name="standing")
    model_part = models.CharField(max_length=8, choices=ModelPart.choices)
    fitness = models.CharField(max_length=16, choices=Fitness.choices)
    independence = models.CharField(max_length=16, choices=Independence.choices)

    def __str__(self) -> str:
        return f"{self.model_part}, {self.fitness}: {self.observation_id}"


class FlagRelease(WriteOnceModel):
    """A QA lead's decision that readers may be asked about a flag of an unproven model; its event says why."""

    flag = models.ForeignKey(Flag, on_delete=models.PROTECT, related_name="releases")
    observation = models.OneToOneField(FlagObservation, on_delete=models.PROTECT, related_name="release")

    def __str__(self) -> str:
        return f"{self.flag_id} released"
