"""The golden set, evaluations of models on it, and the release of what unproven models say."""

from __future__ import annotations

import uuid

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.analysis.evaluations import request_evaluation
from qaservice.analysis.fitness import evaluations_of, models_of, standings
from qaservice.analysis.golden import (
    add_golden_case,
    golden_case,
    golden_cases,
    golden_digest,
    withdraw_golden_case,
)
from qaservice.analysis.models import Flag, QAModel
from qaservice.analysis.releases import release_flags
from qaservice.analysis.standing import held_flags, series_standings
from qaservice.api import fitness_serializers as shapes
from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.labels.models import AnnotationSet
from qaservice.projects.selectors import require
from qaservice.studies.models import Series


class GoldenCasesView(ApiView):
    """The golden set: series with known truth. A new case freezes its truth at the dataset as it stands."""

    @extend_schema(responses=shapes.GoldenCaseSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        return Response(shapes.GoldenCaseSerializer(golden_cases(project=project), many=True).data)

    @extend_schema(request=shapes.NewGoldenCaseSerializer, responses={201: shapes.GoldenCaseSerializer})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = shapes.NewGoldenCaseSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        series = Series.objects.select_related("project", "study").filter(pk=values["series"], project=project).first()
        if series is None:
            raise NotFound("there is no such series", code="no-such-series")
        truth = AnnotationSet.objects.filter(pk=values["annotation_set"], project=project).first()
        if truth is None:
            raise NotFound("there is no such annotation set", code="no-such-set")
        case = add_golden_case(
            series=series, annotation_set=truth, synthetic=values["synthetic"], actor=actor, reason=reason
        )
        return Response(shapes.GoldenCaseSerializer(case).data, status=status.HTTP_201_CREATED)


class WithdrawGoldenCaseView(ApiView):
    """Take a case out of the golden set."""

    @extend_schema(request=serializers.ReasonSerializer, responses={204: None})
    def post(self, request: Request, key: str, case_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        case = golden_case(project=project, case_id=case_id)
        withdraw_golden_case(case=case, actor=actor, reason=self.reason(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ModelFitnessView(ApiView):
    """What the project asks of its models and what each is worth now."""

    @extend_schema(responses=shapes.ModelFitnessSerializer)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        cases = list(golden_cases(project=project))
        told = {
            "threshold": project.fitness_threshold,
            "leakage_policy": project.leakage_policy,
            "golden_cases": len(cases),
            "golden_nodules": sum(case.nodules for case in cases),
            "golden_sha256": golden_digest(cases),
            "held_flags": held_flags(project=project).count(),
            "models": standings(project=project, models=models_of(project=project)),
        }
        return Response(shapes.ModelFitnessSerializer(told).data)


class EvaluationsView(ApiView):
    """Evaluations on the golden set, newest first; a new one is a job."""

    @extend_schema(responses=shapes.EvaluationSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        return Response(shapes.EvaluationSerializer(evaluations_of(project=project), many=True).data)

    @extend_schema(request=shapes.NewEvaluationSerializer, responses={202: OpenApiTypes.OBJECT})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = shapes.NewEvaluationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        model = None
        if values["model"] is not None:
            model = QAModel.objects.filter(pk=values["model"]).first()
            if model is None:
                raise NotFound("there is no such model", code="no-such-model")
        job = request_evaluation(
            project=project, actor=actor, reason=reason, predictions=values["predictions"], model=model
        )
        return Response({"request": job.subject_id, "state": job.state}, status=status.HTTP_202_ACCEPTED)


class ReleaseView(ApiView):
    """Let readers be asked about flags that rest on a model which is not proven."""

    @extend_schema(request=shapes.ReleaseSerializer, responses=shapes.ReleasedSerializer)
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = shapes.ReleaseSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data["flags"]
        flags = list(Flag.objects.filter(project=project, pk__in=wanted))
        if len(flags) != len(set(wanted)):
            raise InvalidInput("some of these flags do not exist here", code="no-such-flag")
        made = release_flags(project=project, actor=actor, reason=reason, flags=flags if wanted else None)
        return Response({"released": [str(one.flag) for one in made]})


class SeriesStandingsView(ApiView):
    """What each run's model was worth on a series: whether it had been trained on it, and whether it was kept away."""

    @extend_schema(responses=shapes.SeriesStandingSerializer(many=True))
    def get(self, request: Request, series_id: uuid.UUID) -> Response:
        series = Series.objects.select_related("project").filter(pk=series_id).first()
        if series is None:
            raise NotFound("there is no such series", code="no-such-series")
        require(user=self.caller(request), project=series.project, action="inspect")
        return Response(shapes.SeriesStandingSerializer(series_standings(series=series), many=True).data)
