"""Projects, people's own particulars, and how far the work is."""

from __future__ import annotations

from dataclasses import asdict

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.common.errors import NotPermitted
from qaservice.jobs.selectors import progress_of
from qaservice.labels.terms import apply_label_terms
from qaservice.projects.models import Role
from qaservice.projects.policies import POLICIES
from qaservice.projects.selectors import projects_of, roles_of
from qaservice.projects.services import create_project, grant, set_policies


class MeView(ApiView):
    """The caller and their roles."""

    @extend_schema(responses=serializers.MeSerializer)
    def get(self, request: Request) -> Response:
        user = self.caller(request)
        roles = {project.key: sorted(roles_of(user=user, project=project)) for project in projects_of(user=user)}
        return Response(
            {"username": user.username, "display_name": user.display_name, "kind": user.kind, "roles": roles}
        )


class ProjectsView(ApiView):
    """The caller's projects; opening one makes the caller its QA lead."""

    @extend_schema(responses=serializers.ProjectSerializer(many=True))
    def get(self, request: Request) -> Response:
        rows = projects_of(user=self.caller(request))
        return Response(serializers.ProjectSerializer(rows, many=True).data)

    @extend_schema(request=serializers.NewProjectSerializer, responses={201: serializers.ProjectSerializer})
    def post(self, request: Request) -> Response:
        user = self.caller(request)
        if not user.is_administrator and user.is_simulated:
            raise NotPermitted("a simulated actor cannot open a project", code="simulated-refused")
        reason = self.reason(request)
        asked = serializers.NewProjectSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        actor = user.as_actor(role="administrator" if user.is_administrator else "QA lead")
        project = create_project(
            key=values["key"],
            title=values["title"],
            required_votes=values["required_votes"],
            agreeing_votes=values["agreeing_votes"],
            regulated=values["regulated"],
            actor=actor,
            reason=reason,
        )
        grant(project=project, user=user, role=Role.QA_LEAD, actor=actor, reason=reason)
        return Response(serializers.ProjectSerializer(project).data, status=status.HTTP_201_CREATED)


class ProjectView(ApiView):
    """One project."""

    @extend_schema(responses=serializers.ProjectSerializer)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "view")
        return Response(serializers.ProjectSerializer(project).data)


class PoliciesView(ApiView):
    """What the project lets pass at intake."""

    @extend_schema(responses=serializers.PoliciesSerializer)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "ingest")
        return Response(serializers.PoliciesSerializer(project).data)

    @extend_schema(request=serializers.NewPoliciesSerializer, responses=serializers.PoliciesSerializer)
    def patch(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = serializers.NewPoliciesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = {name: asked.validated_data[name] for name in POLICIES if name in asked.validated_data}
        changed = set_policies(project=project, policies=wanted, actor=actor, reason=reason)
        return Response(serializers.PoliciesSerializer(changed).data)


class LabelTermsView(ApiView):
    """Understand labels that are held already under the project's terms."""

    @extend_schema(request=serializers.ReasonSerializer, responses=serializers.RenamedSerializer)
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        renamed = apply_label_terms(project=project, actor=actor, reason=self.reason(request))
        return Response({"findings": renamed.findings, "names": renamed.names})


class ProgressView(ApiView):
    """How far the project's jobs are."""

    @extend_schema(responses=serializers.ProgressSerializer)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "ingest")
        return Response(asdict(progress_of(project.key)))
