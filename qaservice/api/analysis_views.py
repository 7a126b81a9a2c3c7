"""Runs and flags, for those who lead or inspect; readers see flags only through their assignments."""

from __future__ import annotations

import uuid
from dataclasses import asdict

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.analysis.calibration import past_precision
from qaservice.analysis.models import AnalysisRun, Flag
from qaservice.analysis.selectors import BY_VALUE, flag_counts, flags_of, runs_of
from qaservice.analysis.services import cancel_run, request_run
from qaservice.analysis.standing import worth_of_flags
from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.api.fitness_serializers import FlagSerializer
from qaservice.common.errors import NotFound
from qaservice.projects.selectors import require
from qaservice.review.records import flag_record


class RunsView(ApiView):
    """A project's runs; a new one analyses the dataset as it stands."""

    @extend_schema(responses=serializers.RunSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        return Response(serializers.RunSerializer(runs_of(project=project), many=True).data)

    @extend_schema(request=serializers.NewRunSerializer, responses={202: serializers.RunSerializer})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "analyse")
        reason = self.reason(request)
        asked = serializers.NewRunSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = request_run(
            project=project,
            actor=actor,
            reason=reason,
            predictions=asked.validated_data["predictions"],
            model_name=asked.validated_data["model"],
        )
        return Response(serializers.RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)


class RunView(ApiView):
    """One run."""

    @extend_schema(responses=serializers.RunSerializer)
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        return Response(serializers.RunSerializer(_run(self, request, run_id, "analyse")).data)


class CancelRunView(ApiView):
    """Cancel a run that has not ended."""

    @extend_schema(request=serializers.ReasonSerializer, responses=serializers.RunSerializer)
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        run = _run(self, request, run_id, "analyse")
        actor = self.allowed(request, run.project, "analyse")
        cancelled = cancel_run(run=run, actor=actor, reason=self.reason(request))
        return Response(serializers.RunSerializer(cancelled).data)


class FlagsView(ApiView):
    """A project's flags with probability, check and what they are worth looking at."""

    @extend_schema(
        parameters=[
            OpenApiParameter("check", str),
            OpenApiParameter("state", str),
            OpenApiParameter(
                "ordering",
                str,
                description="value (expected value, the default descending), number, score, check_name or state, "
                "with - for descending",
            ),
            OpenApiParameter("limit", int),
            OpenApiParameter("offset", int),
        ],
        responses=FlagSerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        flags = flags_of(
            project=project,
            check=request.query_params.get("check", ""),
            state=request.query_params.get("state", ""),
            ordering=request.query_params.get("ordering", BY_VALUE),
        )
        pages = LimitOffsetPagination()
        page = pages.paginate_queryset(flags, request, view=self)
        context = {"worth": worth_of_flags(page or []), "precision": past_precision(project=project)}
        shown = FlagSerializer(page, many=True, context=context)
        return pages.get_paginated_response(shown.data)


class FlagCountsView(ApiView):
    """Number of flags by check and state."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        return Response(flag_counts(project=project))


class FlagView(ApiView):
    """One flag with all its evidence, votes, outcome and correction."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, flag_id: uuid.UUID) -> Response:
        flag = Flag.objects.select_related("project", "series__study", "annotation_set").filter(pk=flag_id).first()
        if flag is None:
            raise NotFound("there is no such flag", code="no-such-flag")
        require(user=self.caller(request), project=flag.project, action="inspect")
        return Response(asdict(flag_record(flag=flag)))


def _run(view: ApiView, request: Request, run_id: uuid.UUID, action: str) -> AnalysisRun:
    run = AnalysisRun.objects.select_related("project", "model", "dataset_version").filter(pk=run_id).first()
    if run is None:
        raise NotFound("there is no such run", code="no-such-run")
    require(user=view.caller(request), project=run.project, action=action)
    return run
