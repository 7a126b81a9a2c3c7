"""The reader's way: worklist, case, blind verdict, reveal, final verdict."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.recording import Actor
from qaservice.accounts.models import User
from qaservice.accounts.selectors import user_by_name
from qaservice.analysis.models import Flag
from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.api.overlays import overlays_of
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.review.blinding import assignment_for, case_view
from qaservice.review.duties import deciders
from qaservice.review.models import Assignment
from qaservice.review.selectors import next_waiting, worklist
from qaservice.review.services import assign_open_flags, give_verdict, record_opening, reveal, send_to_adjudicator


class AssignmentsView(ApiView):
    """Give open flags to readers."""

    @extend_schema(
        request=serializers.NewAssignmentsSerializer, responses={201: serializers.WorklistSerializer(many=True)}
    )
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        asked = serializers.NewAssignmentsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        names = asked.validated_data.get("readers")
        readers = None
        if names is not None:
            readers = list(User.objects.filter(username__in=names))
            unknown = sorted(set(names) - {reader.username for reader in readers})
            if unknown:
                raise InvalidInput(f"no such readers: {', '.join(unknown)}", code="no-such-reader")
        made = assign_open_flags(project=project, actor=actor, reason=self.reason(request), readers=readers)
        return Response(serializers.WorklistSerializer(made, many=True).data, status=status.HTTP_201_CREATED)


class AdjudicationView(ApiView):
    """Who may decide a flag on which readers disagree; asking one of them to."""

    @extend_schema(responses=serializers.DeciderSerializer(many=True))
    def get(self, request: Request, flag_id: uuid.UUID) -> Response:
        flag, _actor = self._flag(request, flag_id)
        return Response(serializers.DeciderSerializer(deciders(flag=flag), many=True).data)

    @extend_schema(request=serializers.NewAdjudicationSerializer, responses={201: serializers.WorklistSerializer})
    def post(self, request: Request, flag_id: uuid.UUID) -> Response:
        flag, actor = self._flag(request, flag_id)
        asked = serializers.NewAdjudicationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        chosen = user_by_name(asked.validated_data["adjudicator"])
        if chosen is None:
            raise InvalidInput("there is no such account", code="no-such-user")
        made = send_to_adjudicator(flag=flag, adjudicator=chosen, actor=actor, reason=self.reason(request))
        return Response(serializers.WorklistSerializer(made).data, status=status.HTTP_201_CREATED)

    def _flag(self, request: Request, flag_id: uuid.UUID) -> tuple[Flag, Actor]:
        flag = Flag.objects.select_related("project", "series__study").filter(pk=flag_id).first()
        if flag is None:
            raise NotFound("there is no such flag", code="no-such-flag")
        return flag, self.allowed(request, flag.project, "manage")


class WorklistView(ApiView):
    """The caller's own cases in a project."""

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, description="waiting, or one state of an assignment"),
            OpenApiParameter("ordering", str, description="number, -number, case or state"),
        ],
        responses=serializers.WorklistSerializer(many=True),
    )
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "review")
        rows = worklist(
            user=self.caller(request),
            project=project,
            state=request.query_params.get("state", ""),
            ordering=request.query_params.get("ordering", "number"),
        )
        return Response(serializers.WorklistSerializer(rows, many=True).data)


class CaseView(ApiView):
    """One case as its reader may see it now; opening it is recorded."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, assignment_id: uuid.UUID) -> Response:
        assignment = assignment_for(user=self.caller(request), assignment_id=str(assignment_id))
        record_opening(assignment=assignment, user=self.caller(request))
        return Response(case_json(assignment))


class OverlaysView(ApiView):
    """The shapes that may be drawn now."""

    @extend_schema(responses=serializers.OverlaySerializer(many=True))
    def get(self, request: Request, assignment_id: uuid.UUID) -> Response:
        assignment = assignment_for(user=self.caller(request), assignment_id=str(assignment_id))
        overlays = overlays_of(assignment=assignment)
        return Response(serializers.OverlaySerializer(overlays, many=True).data)


class VerdictsView(ApiView):
    """Give a verdict: the blind one first, the final one after the reveal."""

    @extend_schema(request=serializers.NewVerdictSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, assignment_id: uuid.UUID) -> Response:
        assignment = assignment_for(user=self.caller(request), assignment_id=str(assignment_id))
        asked = serializers.NewVerdictSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        give_verdict(
            assignment=assignment,
            user=self.caller(request),
            decision=values["decision"],
            rationale=values["rationale"],
            proposal_id=values["proposal_id"],
            correction=values.get("correction"),
        )
        return Response(_fresh(request, self, assignment_id), status=status.HTTP_201_CREATED)


class RevealView(ApiView):
    """Show the opinions; only after a blind verdict."""

    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, assignment_id: uuid.UUID) -> Response:
        assignment = assignment_for(user=self.caller(request), assignment_id=str(assignment_id))
        reveal(assignment=assignment, user=self.caller(request))
        return Response(_fresh(request, self, assignment_id))


def case_json(assignment: Assignment) -> dict[str, Any]:
    """Return a case as the API gives it, with the key of the reader's next waiting case."""
    view = asdict(case_view(assignment=assignment))
    following = next_waiting(assignment=assignment)
    flag = {"number": view.pop("flag_number"), "label": view.pop("flag_label")}
    under_review = next((label for label in view["labels"] if label["under_review"]), None)
    return {**view, "flag": flag, "label": under_review, "next": str(following.pk) if following else None}


def _fresh(request: Request, view: ApiView, assignment_id: uuid.UUID) -> dict[str, Any]:
    return case_json(assignment_for(user=view.caller(request), assignment_id=str(assignment_id)))
