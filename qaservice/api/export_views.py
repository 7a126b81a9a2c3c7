"""Labels out of the service: a zip in a format that others read."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.labels.exporting import export_labels, version_numbered


class LabelExportsView(ApiView):
    """A dataset version's labels in one format: every file read back and compared before it is sent."""

    @extend_schema(request=serializers.LabelExportSerializer, responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def post(self, request: Request, key: str) -> FileResponse:
        project, actor = self.project(request, key, "export")
        wanted = serializers.LabelExportSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        stated = wanted.validated_data
        version = version_numbered(project=project, number=stated.get("version"))
        with TemporaryDirectory() as folder:
            export = export_labels(
                version=version,
                format_name=stated["format"],
                sets=stated["sets"],
                path=Path(folder) / "labels.zip",
                actor=actor,
                reason=self.reason(request),
                series_instance_uid=stated.get("series_instance_uid"),
            )
            # The open file outlives its name: the folder may go before the last byte is sent.
            response = FileResponse(
                export.path.open("rb"),
                as_attachment=True,
                filename=f"{project.key}-labels-{version.number}-{stated['format']}.zip",
                content_type="application/zip",
            )
            response["X-Content-SHA256"] = export.sha256
            return response
