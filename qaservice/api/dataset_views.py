"""A project's own rules with their trial, and concerns about its dataset."""

from __future__ import annotations

import uuid
from dataclasses import asdict

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.analysis.concerns import concern_for, concerns_of, settle_concern, view_of
from qaservice.analysis.rehearsing import rehearse_rules
from qaservice.api import dataset_serializers as shapes
from qaservice.api.base import ApiView
from qaservice.common.errors import NotFound
from qaservice.projects.label_rules import current_rules, set_rules


class LabelRulesView(ApiView):
    """The project's own rules as they stand; putting them makes a new version, which holds from the next run on."""

    @extend_schema(responses=shapes.LabelRulesSerializer)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        standing = current_rules(project=project)
        if standing is None:
            raise NotFound("this project has no rules of its own", code="no-rules")
        return Response(shapes.LabelRulesSerializer(standing).data)

    @extend_schema(request=shapes.NewRulesSerializer, responses={201: shapes.LabelRulesSerializer})
    def put(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = shapes.NewRulesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        set_rules(project=project, text=asked.validated_data["text"], actor=actor, reason=reason)
        standing = current_rules(project=project)
        return Response(shapes.LabelRulesSerializer(standing).data, status=status.HTTP_201_CREATED)


class RuleRehearsalView(ApiView):
    """Try rules over what the project holds; nothing is raised or stored."""

    @extend_schema(request=shapes.RehearseSerializer, responses=shapes.RehearsalSerializer)
    def post(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "manage")
        asked = shapes.RehearseSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        told = rehearse_rules(project=project, text=asked.validated_data.get("text"))
        return Response(shapes.RehearsalSerializer(asdict(told)).data)


class ConcernsView(ApiView):
    """Concerns about the dataset, open ones first, then by score."""

    @extend_schema(
        parameters=[OpenApiParameter("state", str, description="open, confirmed or dismissed")],
        responses=shapes.ConcernSerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        views = concerns_of(project=project, state=request.query_params.get("state", ""))
        return Response(shapes.ConcernSerializer(views, many=True).data)


class SettleConcernView(ApiView):
    """Confirm or dismiss a concern, with a reason."""

    @extend_schema(request=shapes.SettleConcernSerializer, responses=shapes.ConcernSerializer)
    def post(self, request: Request, key: str, concern_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = shapes.SettleConcernSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        settled = settle_concern(
            concern=concern_for(project=project, concern_id=concern_id),
            decision=asked.validated_data["decision"],
            expected_revision=asked.validated_data["revision"],
            actor=actor,
            reason=reason,
        )
        return Response(shapes.ConcernSerializer(view_of(settled)).data)
