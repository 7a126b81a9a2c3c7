"""Pushing instances, one or many a request, into a delivery that is judged when it is closed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import asdict

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.recording import Actor
from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.api.multipart import boundary_of, parts_of, pieces_of
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.projects.models import Project
from qaservice.studies.models import Ingest
from qaservice.studies.pushing import close, joint_delivery, open_delivery, push

DICOM = "application/dicom"
MULTIPART = "multipart/related"


class DeliveriesView(ApiView):
    """Open a delivery into which instances are pushed."""

    @extend_schema(request=serializers.OpenDeliverySerializer, responses={201: serializers.IngestSerializer})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "ingest")
        reason = self.reason(request)
        asked = serializers.OpenDeliverySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        ingest = open_delivery(project=project, name=asked.validated_data["name"], actor=actor, reason=reason)
        return Response(serializers.IngestSerializer(ingest).data, status=status.HTTP_201_CREATED)


class InstancesView(ApiView):
    """Push instances: one as ``application/dicom``, or many as ``multipart/related``.

    What is answered as received is on disk. Each instance has its own outcome: 200 where all were received, 202 where
    some were refused, 409 where all were. Sending the same bytes again changes nothing. Without ``delivery`` they join
    the project's open delivery for such instances, which is closed after a quiet quarter of an hour.
    """

    @extend_schema(
        parameters=[OpenApiParameter("delivery", OpenApiTypes.UUID, description="the delivery that they belong to")],
        request={DICOM: OpenApiTypes.BINARY, MULTIPART: OpenApiTypes.BINARY},
        responses={
            200: serializers.PushAnswerSerializer,
            202: serializers.PushAnswerSerializer,
            409: serializers.PushAnswerSerializer,
        },
    )
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "ingest")
        instances = _instances(request)
        ingest = self._delivery(request, project, actor)
        pushed = push(ingest=ingest, instances=instances)
        refused = sum(one.outcome == "refused" for one in pushed)
        code: int = status.HTTP_200_OK if not refused else status.HTTP_202_ACCEPTED
        if refused == len(pushed):
            code = status.HTTP_409_CONFLICT
        body = {"delivery": ingest.pk, "instances": [asdict(one) for one in pushed]}
        return Response(serializers.PushAnswerSerializer(body).data, status=code)

    def _delivery(self, request: Request, project: Project, actor: Actor) -> Ingest:
        asked = request.query_params.get("delivery")
        if not asked:
            return joint_delivery(project=project, actor=actor)
        try:
            ingest_id = uuid.UUID(asked)
        except ValueError as error:
            raise InvalidInput("'delivery' is the id of a delivery", code="no-such-ingest") from error
        ingest = Ingest.objects.select_related("project").filter(pk=ingest_id, project=project).first()
        if ingest is None:
            raise NotFound("there is no such delivery", code="no-such-ingest")
        return ingest


class CloseDeliveryView(ApiView):
    """Say that nothing more is pushed: the delivery is read and judged now."""

    @extend_schema(request=serializers.ReasonSerializer, responses={202: serializers.IngestSerializer})
    def post(self, request: Request, ingest_id: uuid.UUID) -> Response:
        ingest = Ingest.objects.select_related("project").filter(pk=ingest_id).first()
        if ingest is None:
            raise NotFound("there is no such delivery", code="no-such-ingest")
        actor = self.allowed(request, ingest.project, "ingest")
        closed = close(ingest=ingest, actor=actor, reason=self.reason(request))
        return Response(serializers.IngestSerializer(closed).data, status=status.HTTP_202_ACCEPTED)


def _instances(request: Request) -> Iterable[Iterable[bytes]]:
    """Return the instances of a request, read as they are asked for."""
    content_type = str(request.content_type or "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (DICOM, MULTIPART):
        raise UnsupportedMediaType(kind, detail=f"send {DICOM}, or {MULTIPART} with parts of it")
    boundary = boundary_of(content_type, part_type=DICOM) if kind == MULTIPART else b""
    stream = request.stream
    if stream is None:
        return ()
    return parts_of(stream, boundary, part_type=DICOM) if boundary else (pieces_of(stream),)
