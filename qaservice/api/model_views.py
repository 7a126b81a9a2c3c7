"""Models: what is registered, what was read of each, and whether a project lets foreign code run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from qaservice.analysis.approvals import approve_model, withdraw_approval
from qaservice.analysis.described_models import ModelView, model_view, model_views
from qaservice.analysis.foreign import register_upload
from qaservice.analysis.models import QAModel
from qaservice.analysis.selectors import models_known
from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.common.errors import InvalidInput, NotFound

BRIEF = ("id", "name", "version", "bundle_sha256", "state", "foreign", "task", "intended_use", "faults")


class ModelsView(ApiView):
    """Registered models; a new one is sent as a zip, read as text, and runs nowhere until a project approves it."""

    parser_classes = [MultiPartParser]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "inspect")
        rows = [_content(one) for one in model_views(project=project, looking=actor)]
        return Response([{name: row[name] for name in BRIEF} for row in rows])

    @extend_schema(request=serializers.NewModelSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        upload = request.FILES.get("file")
        if upload is None:
            raise InvalidInput("send the bundle as a zip in the field 'file'", code="file-missing")
        registered = register_upload(
            stream=upload,
            filename=upload.name or "bundle",
            given=_given(request.data),
            actor=actor,
            reason=reason,
        )
        view = model_view(model=registered.model, project=project, looking=actor)
        code = status.HTTP_200_OK if registered.known else status.HTTP_201_CREATED
        return Response(_content(view), status=code)


class ModelDetailView(ApiView):
    """One model with everything that was read of it: texts, expressions, files and digests, decisions."""

    @extend_schema(responses=OpenApiTypes.OBJECT, operation_id="model_retrieve")
    def get(self, request: Request, key: str, model_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "inspect")
        return Response(_content(model_view(model=_model(model_id), project=project, looking=actor)))


class ModelApprovalView(ApiView):
    """Let a foreign bundle's code run in this project."""

    @extend_schema(request=serializers.ModelApprovalSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, key: str, model_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        asked = serializers.ModelApprovalSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        model = _model(model_id)
        approve_model(
            project=project,
            model=model,
            bundle_sha256=asked.validated_data["bundle_sha256"],
            actor=actor,
            reason=reason,
        )
        view = model_view(model=model, project=project, looking=actor)
        return Response(_content(view), status=status.HTTP_201_CREATED)


class ModelWithdrawalView(ApiView):
    """Take this project's approval of a model back."""

    @extend_schema(request=serializers.ReasonSerializer, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request, key: str, model_id: uuid.UUID) -> Response:
        project, actor = self.project(request, key, "manage")
        reason = self.reason(request)
        model = _model(model_id)
        withdraw_approval(project=project, model=model, actor=actor, reason=reason)
        view = model_view(model=model, project=project, looking=actor)
        return Response(_content(view), status=status.HTTP_201_CREATED)


def _model(model_id: uuid.UUID) -> QAModel:
    model = models_known().filter(pk=model_id).first()
    if model is None:
        raise NotFound("there is no such model", code="no-such-model")
    return model


def _content(view: ModelView) -> dict[str, Any]:
    return asdict(view)


def _given(data: object) -> dict[str, Any]:
    value = data.get("output") if isinstance(data, Mapping) else None
    if not value:
        return {}
    try:
        given = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InvalidInput("'output' is not JSON", code="output-not-json") from error
    if not isinstance(given, dict):
        raise InvalidInput("'output' is not a JSON object", code="output-not-json")
    return given
