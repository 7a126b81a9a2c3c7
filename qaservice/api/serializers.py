"""The shapes of answers and requests, for the OpenAPI description and for checking what comes in."""

from __future__ import annotations

from rest_framework import serializers

from imaging.writers.names import WRITTEN_FORMATS
from qaservice.analysis.models import AnalysisRun
from qaservice.analysis.standing import run_fitness
from qaservice.labels.exporting import SETS
from qaservice.labels.models import DatasetVersion
from qaservice.projects.models import CrosswalkPolicy, IdentityPolicy, LeakagePolicy, Project
from qaservice.projects.policies import FITNESS_TERMS, POLICIES
from qaservice.review.models import Assignment, Decision
from qaservice.studies.models import Ingest, IngestItem, Series


class ProblemSerializer(serializers.Serializer[object]):
    type = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    details = serializers.DictField()


class ReasonSerializer(serializers.Serializer[object]):
    # Blank passes here and is refused by the view, with the code that all refused reasons have.
    reason = serializers.CharField(help_text="why; goes into the record", allow_blank=True)


class MeSerializer(serializers.Serializer[object]):
    username = serializers.CharField()
    display_name = serializers.CharField()
    kind = serializers.CharField()
    roles = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class ProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["key", "title", "state", "regulated", "required_votes", "agreeing_votes", "size_convention"]


class NewProjectSerializer(ReasonSerializer):
    key = serializers.CharField(max_length=40)
    title = serializers.CharField(max_length=200)
    required_votes = serializers.IntegerField(min_value=1, default=3)
    agreeing_votes = serializers.IntegerField(min_value=1, default=2)
    regulated = serializers.BooleanField(default=False)


class PoliciesSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = list(POLICIES)


class NewPoliciesSerializer(ReasonSerializer):
    """One field for each policy; those left out stay as they are."""

    gate_policy = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="geometry finding to 'accept', 'warn' or 'quarantine'; replaces the whole gate policy",
    )
    label_terms = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="a source's label name to the category it means; replaces all terms, for what arrives from now on",
    )
    identity_policy = serializers.ChoiceField(
        choices=IdentityPolicy.choices,
        required=False,
        help_text="once a project has had deliveries it can only become stricter: keep, then refuse, then de-identify",
    )
    training_policy = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="a role to the trainings without which it sleeps; replaces the whole training policy",
    )
    crosswalk_policy = serializers.ChoiceField(
        choices=CrosswalkPolicy.choices,
        required=False,
        help_text="whether what stands behind pseudonyms is kept; not to be switched on once there were deliveries",
    )

    fitness_threshold = serializers.DictField(
        required=False,
        help_text="what a QA model must reach on the golden set: "
        + "; ".join(f"{name}: {meaning}" for name, meaning in FITNESS_TERMS.items())
        + ". All terms, or none to take the threshold back",
    )
    leakage_policy = serializers.ChoiceField(
        choices=LeakagePolicy.choices,
        required=False,
        help_text="what becomes of data that a QA model was trained on: it does not look at it, or is marked",
    )


class RenamedSerializer(serializers.Serializer[object]):
    findings = serializers.IntegerField(help_text="findings whose category changed")
    names = serializers.DictField(child=serializers.IntegerField(), help_text="number by the source's name")


class ProgressSerializer(serializers.Serializer[object]):
    queued = serializers.IntegerField()
    active = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    running = serializers.ListField(child=serializers.DictField())
    failed_jobs = serializers.ListField(child=serializers.DictField())


class UploadSerializer(ReasonSerializer):
    file = serializers.FileField(help_text="one DICOM or annotation file, or a zip or tar of many")


class LabelExportSerializer(ReasonSerializer):
    format = serializers.ChoiceField(choices=WRITTEN_FORMATS, help_text="what the labels are written as")
    sets = serializers.ChoiceField(
        choices=sorted(SETS), default="reference", help_text="the reference standard, or the readers' own sets"
    )
    version = serializers.IntegerField(
        required=False, min_value=1, help_text="number of the dataset version; the newest where left out"
    )
    series_instance_uid = serializers.CharField(required=False, max_length=64, help_text="one series alone")


class IngestSerializer(serializers.ModelSerializer[Ingest]):
    project = serializers.CharField(source="project.key")

    class Meta:
        model = Ingest
        fields = ["id", "project", "source_name", "state", "summary", "failure", "retry_of"]


class OpenDeliverySerializer(ReasonSerializer):
    name = serializers.CharField(max_length=200, help_text="what the delivery is called in lists")


class PushedInstanceSerializer(serializers.Serializer[object]):
    outcome = serializers.CharField(help_text="received, already-received or refused")
    sha256 = serializers.CharField(help_text="digest of the bytes as they came")
    kind = serializers.CharField(help_text="what the instance turned out to be")
    sop_instance_uid = serializers.CharField()
    code = serializers.CharField(help_text="why it was refused; empty where it was received")
    message = serializers.CharField()


class PushAnswerSerializer(serializers.Serializer[object]):
    delivery = serializers.UUIDField(help_text="the delivery that the instances belong to")
    instances = PushedInstanceSerializer(many=True, help_text="in the order of the request")


class IngestItemSerializer(serializers.ModelSerializer[IngestItem]):
    class Meta:
        model = IngestItem
        fields = ["name", "kind", "outcome", "code", "message", "uid", "sha256"]


class QuarantinedItemSerializer(serializers.ModelSerializer[IngestItem]):
    delivery = serializers.CharField(source="ingest.source_name")
    kept = serializers.SerializerMethodField(help_text="whether its bytes are kept, so that it can be tried again")

    class Meta:
        model = IngestItem
        fields = [
            "id",
            "ingest",
            "delivery",
            "name",
            "kind",
            "outcome",
            "code",
            "message",
            "uid",
            "sha256",
            "kept",
            "retry_of",
        ]

    def get_kept(self, item: IngestItem) -> bool:
        return item.kept_id is not None


class ReasonGroupSerializer(serializers.Serializer[object]):
    code = serializers.CharField()
    files = serializers.IntegerField()
    retryable = serializers.IntegerField(help_text="files whose bytes are kept")
    example = serializers.CharField(help_text="what was said of one of them")


class QuarantineSerializer(serializers.Serializer[object]):
    state = serializers.ChoiceField(choices=["open", "resolved"])
    count = serializers.IntegerField(help_text="files that fit, on all pages")
    reasons = ReasonGroupSerializer(many=True)
    items = QuarantinedItemSerializer(many=True)


class RetrySerializer(ReasonSerializer):
    """Which files to try again; all that wait where none of the fields is given."""

    items = serializers.ListField(child=serializers.UUIDField(), required=False, default=list)
    code = serializers.CharField(required=False, allow_blank=True, default="")
    ingest = serializers.UUIDField(required=False, allow_null=True, default=None)


class AnnotationSetSerializer(serializers.Serializer[object]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=["reader", "algorithm", "reference"])
    reader = serializers.CharField()
    simulated = serializers.BooleanField()
    read = serializers.BooleanField()
    refused = serializers.BooleanField(help_text="stands for a source of which nothing was taken")
    source_format = serializers.CharField()
    format_name = serializers.CharField()
    source_sha256 = serializers.CharField(allow_blank=True)
    algorithm = serializers.CharField(allow_blank=True)
    algorithm_version = serializers.CharField(allow_blank=True)
    findings = serializers.DictField(child=serializers.IntegerField(), help_text="number by category")
    structure_names = serializers.ListField(
        child=serializers.CharField(), help_text="names of its source that were not understood as nodules"
    )
    shapes = serializers.DictField(child=serializers.IntegerField())
    confidences = serializers.ListField(child=serializers.FloatField(), allow_null=True, help_text="lowest, highest")
    round_trip_mm = serializers.FloatField(allow_null=True, help_text="the worst of its findings")
    round_trip_voxels = serializers.FloatField(allow_null=True)
    case_probabilities = serializers.DictField(child=serializers.FloatField())
    rejections = serializers.ListField(child=serializers.DictField())


class SeriesSerializer(serializers.ModelSerializer[Series]):
    study = serializers.CharField(source="study.study_instance_uid")
    patient_key = serializers.CharField(source="study.patient_key")

    class Meta:
        model = Series
        fields = [
            "id",
            "study",
            "patient_key",
            "series_instance_uid",
            "modality",
            "state",
            "verdict",
            "instance_count",
            "frame_of_reference_uid",
            "input_digest",
        ]


class NewRunSerializer(ReasonSerializer):
    predictions = serializers.CharField(
        max_length=200,
        required=False,
        allow_blank=True,
        default="",
        help_text="algorithm whose imported predictions speak in the place of the QA model, with its version if needed",
    )
    model = serializers.CharField(
        max_length=150,
        required=False,
        allow_blank=True,
        default="",
        help_text="registered model by name, name and version, or digest, in the place of the one that ships",
    )


class NewModelSerializer(ReasonSerializer):
    file = serializers.FileField(help_text="the bundle as a zip")
    output = serializers.JSONField(
        required=False,
        help_text="what its output means where the bundle does not say: task, labels, box_mode, frame, threshold, "
        "image_key, prediction_key, box_key, label_key, score_key",
    )


class ModelApprovalSerializer(ReasonSerializer):
    bundle_sha256 = serializers.CharField(
        max_length=64, help_text="the digest of what you looked at; another than the model's is refused"
    )


class RunSerializer(serializers.ModelSerializer[AnalysisRun]):
    model_fitness = serializers.SerializerMethodField(
        help_text="proven, unproven or failed: whether the model was fit when the run was asked for"
    )
    model_fitness_why = serializers.SerializerMethodField()
    dataset_version = serializers.IntegerField(source="dataset_version.number")
    model = serializers.CharField(source="model.__str__")
    model_sha256 = serializers.CharField(source="model.bundle_sha256")

    class Meta:
        model = AnalysisRun
        fields = [
            "id",
            "number",
            "state",
            "failure",
            "dataset_version",
            "model",
            "model_sha256",
            "model_fitness",
            "model_fitness_why",
            "external_predictions",
            "parameters",
            "software",
        ]

    def get_model_fitness(self, run: AnalysisRun) -> str:
        return run_fitness(run)[0]

    def get_model_fitness_why(self, run: AnalysisRun) -> str:
        return run_fitness(run)[1]


class NewAssignmentsSerializer(ReasonSerializer):
    readers = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="usernames; all readers of the project where left out"
    )


class WorklistSerializer(serializers.ModelSerializer[Assignment]):
    """One line of a reader's worklist. It tells neither the check nor the score."""

    flag = serializers.CharField(source="flag.__str__")
    patient_key = serializers.CharField(source="flag.series.study.patient_key")
    series = serializers.UUIDField(source="flag.series_id")

    class Meta:
        model = Assignment
        fields = ["id", "flag", "patient_key", "series", "state", "round"]


class DeciderSerializer(serializers.Serializer[object]):
    username = serializers.CharField()
    display_name = serializers.CharField()


class NewAdjudicationSerializer(ReasonSerializer):
    adjudicator = serializers.CharField(help_text="username of who decides")


class CorrectionSerializer(serializers.Serializer[object]):
    action = serializers.ChoiceField(choices=["add", "remove", "replace-outline", "recategorise"])
    category = serializers.CharField(required=False, allow_null=True)
    centre_mm = serializers.ListField(child=serializers.FloatField(), required=False, min_length=3, max_length=3)
    diameter_mm = serializers.FloatField(required=False)


class NewVerdictSerializer(serializers.Serializer[object]):
    decision = serializers.ChoiceField(choices=Decision.choices)
    rationale = serializers.CharField(allow_blank=True, help_text="why; a blank one is refused")
    proposal_id = serializers.CharField(required=False, allow_blank=True, default="")
    correction = CorrectionSerializer(required=False, allow_null=True)


class OverlaySerializer(serializers.Serializer[object]):
    id = serializers.CharField()
    role = serializers.ChoiceField(choices=["label", "other", "model", "proposal"])
    title = serializers.CharField()
    shape = serializers.ChoiceField(choices=["mask", "sphere", "box", "point"])
    origin = serializers.ListField(child=serializers.IntegerField(), allow_null=True)
    size = serializers.ListField(child=serializers.IntegerField(), allow_null=True)
    bits = serializers.CharField(allow_null=True, help_text="base64 of numpy.packbits over slice, row, column")
    centre = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    radius_mm = serializers.FloatField(allow_null=True)
    corners = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        allow_null=True,
        help_text="a box's outer faces: lowest and highest (slice, row, column), half a voxel beyond voxel centres",
    )
    structure = serializers.BooleanField(help_text="anatomy or another structure: shown, never judged as a nodule")


class ReferenceFindingSerializer(serializers.Serializer[object]):
    finding = serializers.UUIDField()
    revision = serializers.IntegerField()
    category = serializers.CharField()
    centre_mm = serializers.ListField(child=serializers.FloatField(), help_text="LPS millimetres")
    diameter_mm = serializers.FloatField(allow_null=True)
    origin = serializers.CharField()


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    guideline = serializers.IntegerField(source="guideline.number")
    manifest_sha256 = serializers.CharField(source="manifest_id")

    class Meta:
        model = DatasetVersion
        fields = [
            "number",
            "guideline",
            "manifest_sha256",
            "series_count",
            "finding_count",
            "note",
            "created_at",
        ]
