"""Files that were not taken, and trying them again."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.studies.models import Ingest
from qaservice.studies.quarantine import QuarantineState, chosen, quarantined, reason_groups, retry

STATES = ("open", "resolved")


class QuarantineView(ApiView):
    """Refused and quarantined files with their reasons: those that wait, or those that were taken since."""

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=STATES),
            OpenApiParameter("code", str, description="only files with this reason"),
            OpenApiParameter("limit", int),
            OpenApiParameter("offset", int),
        ],
        responses=serializers.QuarantineSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "ingest")
        state = request.query_params.get("state") or "open"
        if state not in STATES:
            raise InvalidInput(f"a state is one of {', '.join(STATES)}", code="no-such-state")
        asked = cast(QuarantineState, state)
        rows = quarantined(project=project, state=asked, code=request.query_params.get("code", ""))
        pages = LimitOffsetPagination()
        page = pages.paginate_queryset(rows, request, view=self)
        body = {
            "state": state,
            "count": pages.count,
            "reasons": [asdict(one) for one in reason_groups(project=project, state=asked)],
            "items": page,
        }
        return Response(serializers.QuarantineSerializer(body).data)


class QuarantineRetryView(ApiView):
    """Try kept files again: those named, those with a reason, those of a delivery, or all that wait."""

    @extend_schema(request=serializers.RetrySerializer, responses={202: serializers.IngestSerializer(many=True)})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "ingest")
        reason = self.reason(request)
        asked = serializers.RetrySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        ingest = None
        if values["ingest"] is not None:
            ingest = Ingest.objects.filter(pk=values["ingest"], project=project).first()
            if ingest is None:
                raise NotFound("there is no such delivery", code="no-such-ingest")
        items = chosen(
            project=project, item_ids=[str(one) for one in values["items"]], code=values["code"], ingest=ingest
        )
        made = retry(project=project, items=items, actor=actor, reason=reason)
        return Response(serializers.IngestSerializer(made, many=True).data, status=status.HTTP_202_ACCEPTED)
