"""The shapes of flags with what their model was worth, of the golden set and of evaluations."""

from __future__ import annotations

from rest_framework import serializers

from qaservice.analysis.calibration import Precision, precision_of
from qaservice.analysis.fitness import Standing
from qaservice.analysis.models import (
    Fitness,
    FitnessEvaluation,
    FitnessOutcome,
    Flag,
    FlagState,
    GoldenCase,
    QAModel,
    SeriesStanding,
)
from qaservice.analysis.standing import Worth
from qaservice.api.serializers import ReasonSerializer


class FlagSerializer(serializers.ModelSerializer[Flag]):
    """A flag. What its newest evidence is worth is asked for once a page (``context["worth"]``), and so is how often
    each check was right in the project (``context["precision"]``)."""

    name = serializers.CharField(source="__str__")
    model_fitness = serializers.SerializerMethodField(
        help_text="proven, unproven or failed: what the model behind the newest evidence was when it spoke"
    )
    independence = serializers.SerializerMethodField(
        help_text="independent, not-independent or not-stated: whether that model was trained on this data"
    )
    model_part = serializers.SerializerMethodField(
        help_text="none, heard or needed: how far the newest evidence rests on the model"
    )
    model_marks = serializers.SerializerMethodField(help_text="the same in plain words, as it is shown to people")
    expected_value = serializers.FloatField(
        source="value", help_text="probability x severity x size of the newest evidence; by it the list is ordered"
    )
    past_right = serializers.SerializerMethodField(
        help_text="settled flags of this check in this project that were right"
    )
    past_settled = serializers.SerializerMethodField(help_text="settled flags of this check in this project")
    past_precision = serializers.SerializerMethodField(help_text="the same in words, with its 95 % interval")
    held = serializers.SerializerMethodField(help_text="readers are not asked until a QA lead releases it")
    series = serializers.UUIDField(source="series_id")
    annotation_set = serializers.CharField(source="annotation_set.reader_label")
    finding = serializers.UUIDField(source="finding_id", allow_null=True)
    place_mm = serializers.SerializerMethodField()

    class Meta:
        model = Flag
        fields = [
            "id",
            "number",
            "name",
            "series",
            "check_name",
            "annotation_set",
            "finding",
            "place_mm",
            "radius_mm",
            "score",
            "expected_value",
            "past_right",
            "past_settled",
            "past_precision",
            "state",
            "outcome",
            "round",
            "reopened_because",
            "revision",
            "model_fitness",
            "independence",
            "model_part",
            "model_marks",
            "held",
        ]

    def get_model_fitness(self, flag: Flag) -> str:
        return self._worth(flag).fitness

    def get_independence(self, flag: Flag) -> str:
        return self._worth(flag).independence

    def get_model_part(self, flag: Flag) -> str:
        return self._worth(flag).model_part

    def get_model_marks(self, flag: Flag) -> list[str]:
        return list(self._worth(flag).marks)

    def get_held(self, flag: Flag) -> bool:
        return self._worth(flag).held and flag.state == FlagState.OPEN

    def get_past_right(self, flag: Flag) -> int:
        return self._precision(flag).right

    def get_past_settled(self, flag: Flag) -> int:
        return self._precision(flag).settled

    def get_past_precision(self, flag: Flag) -> str:
        return self._precision(flag).words

    def _precision(self, flag: Flag) -> Precision:
        return precision_of(check=flag.check_name, known=self.context["precision"])

    def _worth(self, flag: Flag) -> Worth:
        worth: Worth = self.context["worth"][flag.pk]
        return worth

    def get_place_mm(self, flag: Flag) -> list[float]:
        return [flag.x_mm, flag.y_mm, flag.z_mm]


class ReleaseSerializer(ReasonSerializer):
    """Which held flags readers may be asked about; all of them where none is named."""

    flags = serializers.ListField(child=serializers.UUIDField(), required=False, default=list)


class ReleasedSerializer(serializers.Serializer[object]):
    released = serializers.ListField(child=serializers.CharField(), help_text="names of the flags")


class GoldenCaseSerializer(serializers.ModelSerializer[GoldenCase]):
    series = serializers.UUIDField(source="series_id")
    series_instance_uid = serializers.CharField(source="series.series_instance_uid")
    patient_key = serializers.CharField(source="series.study.patient_key")
    truth = serializers.CharField(source="annotation_set.reader_label", help_text="whose labels are the truth")
    dataset_version = serializers.IntegerField(source="dataset_version.number")

    class Meta:
        model = GoldenCase
        fields = [
            "id",
            "series",
            "series_instance_uid",
            "patient_key",
            "truth",
            "dataset_version",
            "truth_sha256",
            "nodules",
            "synthetic",
        ]


class NewGoldenCaseSerializer(ReasonSerializer):
    series = serializers.UUIDField()
    annotation_set = serializers.UUIDField(help_text="a reader's set or the reference standard of the series")
    synthetic = serializers.BooleanField(default=False, help_text="a phantom; one that says so itself is marked anyway")


class NewEvaluationSerializer(ReasonSerializer):
    """The shipped model is measured where neither a model nor predictions are named."""

    model = serializers.UUIDField(required=False, allow_null=True, default=None)
    predictions = serializers.CharField(
        max_length=200, required=False, allow_blank=True, default="", help_text="algorithm with imported predictions"
    )


class EvaluationSerializer(serializers.ModelSerializer[FitnessEvaluation]):
    model = serializers.CharField(source="model.__str__")
    model_sha256 = serializers.CharField(source="model.bundle_sha256")
    # As text: another enumeration of the API has this name.
    outcome = serializers.CharField(help_text=", ".join(FitnessOutcome.values))
    outcome_text = serializers.CharField(source="get_outcome_display")

    class Meta:
        model = FitnessEvaluation
        fields = [
            "id",
            "number",
            "model",
            "model_sha256",
            "golden_sha256",
            "cases",
            "threshold",
            "figures",
            "plots",
            "outcome",
            "outcome_text",
            "why",
            "software",
            "created_at",
        ]


class ModelStandingSerializer(serializers.Serializer[tuple[QAModel, Standing]]):
    """One model and what it is worth in the project now."""

    model = serializers.SerializerMethodField()
    model_sha256 = serializers.SerializerMethodField()
    fitness = serializers.SerializerMethodField(help_text=", ".join(Fitness.values))
    why = serializers.SerializerMethodField()
    stale = serializers.SerializerMethodField(help_text="it was measured on another golden set or threshold")
    evaluation = serializers.SerializerMethodField(help_text="number of the evaluation that this rests on")

    def get_model(self, pair: tuple[QAModel, Standing]) -> str:
        return str(pair[0])

    def get_model_sha256(self, pair: tuple[QAModel, Standing]) -> str:
        return pair[0].bundle_sha256

    def get_fitness(self, pair: tuple[QAModel, Standing]) -> str:
        return pair[1].fitness

    def get_why(self, pair: tuple[QAModel, Standing]) -> str:
        return pair[1].why

    def get_stale(self, pair: tuple[QAModel, Standing]) -> bool:
        return pair[1].stale

    def get_evaluation(self, pair: tuple[QAModel, Standing]) -> int | None:
        return pair[1].evaluation.number if pair[1].evaluation else None


class ModelFitnessSerializer(serializers.Serializer[object]):
    threshold = serializers.DictField(help_text="the project's fitness threshold; empty where none is set")
    leakage_policy = serializers.CharField()
    golden_cases = serializers.IntegerField()
    golden_nodules = serializers.IntegerField()
    golden_sha256 = serializers.CharField()
    held_flags = serializers.IntegerField()
    models = ModelStandingSerializer(many=True)


class SeriesStandingSerializer(serializers.ModelSerializer[SeriesStanding]):
    """What one run's model was worth on one series."""

    run = serializers.IntegerField(source="run.number")
    model = serializers.CharField(source="run.model.__str__")
    independence_text = serializers.CharField(source="get_independence_display")

    class Meta:
        model = SeriesStanding
        fields = ["run", "model", "independence", "independence_text", "why", "refused"]
