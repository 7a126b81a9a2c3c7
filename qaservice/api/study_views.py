"""Deliveries, series and slices."""

from __future__ import annotations

import uuid
from dataclasses import asdict

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.api.overlays import revision_overlay
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.labels.models import SetKind
from qaservice.labels.selectors import current_revisions, reference_findings, source_sets
from qaservice.labels.summaries import set_summaries
from qaservice.projects.selectors import require
from qaservice.review.blinding import set_title
from qaservice.studies.looks import record_look
from qaservice.studies.models import Ingest, Series
from qaservice.studies.selectors import grid_of, items_of, series_view, slice_hounsfield
from qaservice.studies.services import receive_upload


class IngestsView(ApiView):
    """Hand in a file or an archive."""

    parser_classes = [MultiPartParser]

    @extend_schema(request=serializers.UploadSerializer, responses={202: serializers.IngestSerializer})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "ingest")
        reason = self.reason(request)
        upload = request.FILES.get("file")
        if upload is None:
            raise InvalidInput("send one file in the field 'file'", code="file-missing")
        ingest = receive_upload(
            project=project, filename=upload.name or "upload", stream=upload, actor=actor, reason=reason
        )
        return Response(serializers.IngestSerializer(ingest).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=serializers.IngestSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "ingest")
        rows = Ingest.objects.filter(project=project).select_related("project").order_by("source_name", "id")
        return Response(serializers.IngestSerializer(rows, many=True).data)


class IngestView(ApiView):
    """One delivery and its state."""

    @extend_schema(responses=serializers.IngestSerializer)
    def get(self, request: Request, ingest_id: uuid.UUID) -> Response:
        return Response(serializers.IngestSerializer(_ingest(self, request, ingest_id)).data)


class IngestItemsView(ApiView):
    """What became of every file of a delivery."""

    @extend_schema(parameters=[OpenApiParameter("outcome", str)], responses=serializers.IngestItemSerializer(many=True))
    def get(self, request: Request, ingest_id: uuid.UUID) -> Response:
        ingest = _ingest(self, request, ingest_id)
        rows = items_of(ingest, outcome=request.query_params.get("outcome") or None)
        return Response(serializers.IngestItemSerializer(rows, many=True).data)


class ProjectSeriesView(ApiView):
    """All series of a project with the geometry gate's verdicts."""

    @extend_schema(responses=serializers.SeriesSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "view")
        rows = Series.objects.filter(project=project).select_related("study").order_by("series_instance_uid")
        return Response(serializers.SeriesSerializer(rows, many=True).data)


class SeriesView(ApiView):
    """What a viewer needs to know of a series: shape, spacing, affine, orientation letters, image numbers."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, series_id: uuid.UUID) -> Response:
        return Response(series_view(_series(self, request, series_id, "view")))


class SliceView(ApiView):
    """One slice: little-endian int16 Hounsfield units, row by row."""

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, series_id: uuid.UUID, index: int) -> HttpResponse:
        series = _series(self, request, series_id, "view")
        count = grid_of(series).shape[0]
        if index >= count:
            raise NotFound(f"this series has {count} slices, numbered from 0", code="no-such-slice")
        record_look(series=series, slice_index=index, actor=self.allowed(request, series.project, "view"))
        pixels = slice_hounsfield(series, index).astype("<i2", copy=False)
        response = HttpResponse(pixels.tobytes(), content_type="application/octet-stream")
        # The bytes of a slice never change, but they are a patient's: only this browser may keep them, for a while.
        response["Cache-Control"] = "private, max-age=600"
        return response


class SeriesOverlaysView(ApiView):
    """Every reader's and algorithm's labels on a series, for those who inspect; readers get theirs by assignment."""

    @extend_schema(responses=serializers.OverlaySerializer(many=True))
    def get(self, request: Request, series_id: uuid.UUID) -> Response:
        series = _series(self, request, series_id, "inspect")
        grid = grid_of(series)
        overlays = [
            revision_overlay(
                revision=revision,
                grid=grid,
                role="model" if row.kind == SetKind.ALGORITHM else "label",
                title=set_title(str(row.pk)),
            )
            for row in source_sets(series=series)
            for revision in current_revisions(set_id=str(row.pk))
        ]
        return Response(serializers.OverlaySerializer(overlays, many=True).data)


class AnnotationSetsView(ApiView):
    """Every annotation set of a series: its source, what it holds, how true its places are, and what was refused."""

    @extend_schema(responses=serializers.AnnotationSetSerializer(many=True))
    def get(self, request: Request, series_id: uuid.UUID) -> Response:
        series = _series(self, request, series_id, "inspect")
        rows = [asdict(one) for one in set_summaries(series=series)]
        return Response(serializers.AnnotationSetSerializer(rows, many=True).data)


class SeriesReferenceView(ApiView):
    """What the reference standard of a series holds now, and where each finding comes from."""

    @extend_schema(responses=serializers.ReferenceFindingSerializer(many=True))
    def get(self, request: Request, series_id: uuid.UUID) -> Response:
        series = _series(self, request, series_id, "inspect")
        rows = [
            {
                "finding": revision.finding_id,
                "revision": revision.number,
                "category": revision.category,
                "centre_mm": [revision.x_mm, revision.y_mm, revision.z_mm],
                "diameter_mm": revision.diameter_mm,
                "origin": revision.origin,
            }
            for revision in reference_findings(series)
        ]
        return Response(serializers.ReferenceFindingSerializer(rows, many=True).data)


def _ingest(view: ApiView, request: Request, ingest_id: uuid.UUID) -> Ingest:
    ingest = Ingest.objects.select_related("project").filter(pk=ingest_id).first()
    if ingest is None:
        raise NotFound("there is no such delivery", code="no-such-ingest")
    require(user=view.caller(request), project=ingest.project, action="ingest")
    return ingest


def _series(view: ApiView, request: Request, series_id: uuid.UUID, action: str) -> Series:
    series = Series.objects.select_related("project", "study").filter(pk=series_id).first()
    if series is None:
        raise NotFound("there is no such series", code="no-such-series")
    require(user=view.caller(request), project=series.project, action=action)
    return series
