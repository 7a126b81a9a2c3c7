"""The trail: searched page by page, read as the life of one record, and handed out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.recording import Actor
from qaservice.api.base import ApiView
from qaservice.api.trail_serializers import (
    EventPageSerializer,
    LifeSerializer,
    LookPageSerializer,
    RecordExportSerializer,
    SiteTrailExportSerializer,
    TrailExportSerializer,
    event_json,
    life_json,
    look_json,
)
from qaservice.common.errors import InvalidInput, NotFound, NotPermitted
from qaservice.labels.models import FindingRevision
from qaservice.projects.models import Project
from qaservice.projects.selectors import project_for
from qaservice.studies.looks import record_look
from qaservice.trail.access import SITE, audited_projects, require_audit, require_site_audit
from qaservice.trail.exporting import Export, export_record, export_trail
from qaservice.trail.life import life_of
from qaservice.trail.looks import looks_found, with_series
from qaservice.trail.outlines import outline_picture, series_of_revision
from qaservice.trail.paging import NEWEST_FIRST, ORDERINGS, EventPage, page_of
from qaservice.trail.sealing import checkpoint_sizes
from qaservice.trail.search import Search, events_found, narrowed_to, read_search

PAGE = 100
FILTERS = [
    OpenApiParameter("since", str, description="from this day or time on, UTC"),
    OpenApiParameter("until", str, description="up to this day, or before this time, UTC"),
    OpenApiParameter("actor", str, description="id of the person"),
    OpenApiParameter("role", str),
    OpenApiParameter("kind", str, many=True, description="kind of action"),
    OpenApiParameter("type", str, description="what the record is: flag, series ..., or its table"),
    OpenApiParameter("subject", str, description="id of the record"),
    OpenApiParameter("text", str, description="words of the reason, all of them"),
]
PAGING = [
    OpenApiParameter("ordering", str, description=f"one of {', '.join(ORDERINGS)}; with '-' before it, the other way"),
    OpenApiParameter("cursor", str, description="next or previous of another page"),
    OpenApiParameter("limit", int, description=f"events a page, {PAGE} unless told; at most 500"),
]
BINARY = {(200, "application/jsonl"): OpenApiTypes.BINARY, (200, "application/pdf"): OpenApiTypes.BINARY}


class TrailView(ApiView):
    """The trail of every project that the caller may audit, newest first; narrowed by ``project``."""

    @extend_schema(
        parameters=[OpenApiParameter("project", str, many=True), *FILTERS, *PAGING], responses=EventPageSerializer
    )
    def get(self, request: Request) -> Response:
        projects = [project.key for project in audited_projects(user=self.caller(request))]
        if not projects:
            raise NotPermitted("the trail is for QA leads and auditors", code="role-missing")
        search = narrowed_to(_search(request, projects), request.query_params.getlist("project"))
        return Response(_events(_page(request, search)))


class SiteEventsView(ApiView):
    """What happened to accounts and to the site, in no project, with roles given and taken; for auditors."""

    @extend_schema(parameters=[*FILTERS, *PAGING], responses=EventPageSerializer)
    def get(self, request: Request) -> Response:
        _, roles_in = require_site_audit(user=self.caller(request))
        return Response(_events(_page(request, _search(request, [SITE], roles_in))))


class SiteTrailExportView(ApiView):
    """Hand out a search of the site's trail as JSON lines or PDF."""

    @extend_schema(request=SiteTrailExportSerializer, responses=BINARY)
    def post(self, request: Request) -> StreamingHttpResponse:
        role, roles_in = require_site_audit(user=self.caller(request))
        wanted = SiteTrailExportSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        made = export_trail(
            project=None,
            search=_wanted(wanted.validated_data, [SITE], roles_in),
            looks=None,
            series="",
            form=wanted.validated_data["format"],
            actor=self.caller(request).as_actor(role=role),
            reason=self.reason(request),
        )
        return _sent(made)


class EventsView(ApiView):
    """A project's trail, newest first."""

    @extend_schema(parameters=[*FILTERS, *PAGING], responses=EventPageSerializer)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = _audited(self, request, key)
        return Response(_events(_page(request, _search(request, [project.key]))))


class LooksView(ApiView):
    """Who looked at which images, and who took images or identifying data out."""

    @extend_schema(
        parameters=[
            OpenApiParameter("what", str, enum=["viewed", "taken-out"]),
            OpenApiParameter("series", str, description="id of a series"),
            *FILTERS,
            *PAGING,
        ],
        responses=LookPageSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        project, _actor = _audited(self, request, key)
        asked = request.query_params
        rows = looks_found(_search(request, [project.key]), series=asked.get("series", ""), what=asked.get("what", ""))
        page = page_of(
            rows, ordering=asked.get("ordering", NEWEST_FIRST), cursor=asked.get("cursor", ""), size=_size(request)
        )
        results = [look_json(look) for look in with_series(page.events)]
        return Response({"next": page.following or None, "previous": page.preceding or None, "results": results})


class RecordView(ApiView):
    """The life of one record: every state, its changes, what belongs to it, and where each event is sealed."""

    @extend_schema(responses=LifeSerializer)
    def get(self, request: Request, key: str, table: str, record_id: str) -> Response:
        project, _actor = _audited(self, request, key)
        return Response(life_json(life_of(project=project, table=table, key=record_id)))


class TrailExportView(ApiView):
    """Hand out a search of the trail, or of the register of looks, as JSON lines or PDF."""

    @extend_schema(request=TrailExportSerializer, responses=BINARY)
    def post(self, request: Request, key: str) -> StreamingHttpResponse:
        project, actor = _audited(self, request, key)
        wanted = TrailExportSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        asked = wanted.validated_data
        made = export_trail(
            project=project,
            search=_wanted(asked, [project.key]),
            looks=asked["looks"] if asked["register"] else None,
            series=asked["series"],
            form=asked["format"],
            actor=actor,
            reason=self.reason(request),
        )
        return _sent(made)


class RecordExportView(ApiView):
    """Hand out the life of one record as JSON lines or PDF."""

    @extend_schema(request=RecordExportSerializer, responses=BINARY)
    def post(self, request: Request, key: str, table: str, record_id: str) -> StreamingHttpResponse:
        project, actor = _audited(self, request, key)
        wanted = RecordExportSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        made = export_record(
            project=project,
            table=table,
            key=record_id,
            form=wanted.validated_data["format"],
            actor=actor,
            reason=self.reason(request),
        )
        return _sent(made)


class OutlineChangeView(ApiView):
    """What a revision of a finding did to its outline, as a picture (PNG); it is a look at the images."""

    @extend_schema(responses={(200, "image/png"): OpenApiTypes.BINARY})
    def get(self, request: Request, key: str, revision_id: uuid.UUID) -> HttpResponse:
        project, actor = _audited(self, request, key)
        revision = (
            FindingRevision.objects.select_related("finding__annotation_set")
            .filter(pk=revision_id, finding__annotation_set__project=project)
            .first()
        )
        if revision is None:
            raise NotFound("there is no such revision in this project", code="no-such-record")
        picture = outline_picture(revision)
        record_look(series=series_of_revision(revision), slice_index=picture.crop.slice_index, actor=actor)
        response = HttpResponse(picture.crop.png, content_type="image/png")
        response["Cache-Control"] = "private, max-age=600"
        return response


def _sent(export: Export) -> StreamingHttpResponse:
    return StreamingHttpResponse(export.pieces, content_type=export.media_type, headers=export.headers)


def _audited(view: ApiView, request: Request, key: str) -> tuple[Project, Actor]:
    user = view.caller(request)
    project = project_for(user=user, key=key)
    return project, user.as_actor(role=require_audit(user=user, project=project))


def _search(request: Request, projects: list[str], roles_in: Sequence[str] = ()) -> Search:
    asked = request.query_params
    return read_search(asked.dict(), kinds=asked.getlist("kind"), projects=projects, roles_in=roles_in)


def _wanted(asked: Mapping[str, Any], projects: list[str], roles_in: Sequence[str] = ()) -> Search:
    named = ("since", "until", "actor", "role", "type", "subject", "text")
    values = {name: str(asked.get(name, "")) for name in named}
    return read_search(values, kinds=asked["kind"], projects=projects, roles_in=roles_in)


def _size(request: Request) -> int:
    text = request.query_params.get("limit", str(PAGE))
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise InvalidInput("limit is a whole number", code="no-such-limit")
    return int(text)


def _page(request: Request, search: Search) -> EventPage:
    asked = request.query_params
    return page_of(
        events_found(search),
        ordering=asked.get("ordering", NEWEST_FIRST),
        cursor=asked.get("cursor", ""),
        size=_size(request),
    )


def _events(page: EventPage) -> dict[str, object]:
    checkpoints = checkpoint_sizes()
    return {
        "next": page.following or None,
        "previous": page.preceding or None,
        "results": [event_json(event, checkpoints=checkpoints) for event in page.events],
    }
