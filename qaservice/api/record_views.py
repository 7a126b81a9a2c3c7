"""Dataset versions, reports and kits, and the check of the whole record."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from django.http import FileResponse, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.verification import verify_live
from qaservice.api import serializers
from qaservice.api.base import ApiView
from qaservice.common.clock import iso
from qaservice.common.errors import NotFound, NotPermitted
from qaservice.labels.models import DatasetVersion
from qaservice.projects.selectors import projects_of, require, roles_of
from qaservice.reports.models import ValidationReport
from qaservice.reports.services import export_kit, request_report
from qaservice.reports.signing import approval_of
from qaservice.storage.selectors import read_blob


class DatasetVersionsView(ApiView):
    """A project's dataset versions."""

    @extend_schema(responses=serializers.DatasetVersionSerializer(many=True))
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "inspect")
        rows = DatasetVersion.objects.filter(project=project).select_related("guideline").order_by("-number")
        return Response(serializers.DatasetVersionSerializer(rows, many=True).data)


class LedgerVerificationView(ApiView):
    """Verify the whole record now."""

    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        user = self.caller(request)
        held = {role for project in projects_of(user=user) for role in roles_of(user=user, project=project)}
        if not user.is_administrator and held.isdisjoint({"qa_lead", "auditor"}):
            raise NotPermitted("verifying the record takes a QA lead, an auditor or an administrator")
        return Response(asdict(verify_live()))


class ReportsView(ApiView):
    """A project's reports; a new one is made by a worker."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, key: str) -> Response:
        project, _actor = self.project(request, key, "export")
        rows = ValidationReport.objects.filter(project=project).select_related("dataset_version")
        return Response([report_json(report) for report in rows.order_by("-number")])

    @extend_schema(request=serializers.ReasonSerializer, responses={202: OpenApiTypes.OBJECT})
    def post(self, request: Request, key: str) -> Response:
        project, actor = self.project(request, key, "export")
        job = request_report(project=project, actor=actor, reason=self.reason(request))
        return Response({"job": str(job.pk), "state": job.state}, status=status.HTTP_202_ACCEPTED)


class ReportView(ApiView):
    """One report's particulars."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, report_id: uuid.UUID) -> Response:
        return Response(report_json(_report(self, request, report_id)))


class ReportDocumentView(ApiView):
    """The report as PDF."""

    @extend_schema(responses={(200, "application/pdf"): OpenApiTypes.BINARY})
    def get(self, request: Request, report_id: uuid.UUID) -> HttpResponse:
        report = _report(self, request, report_id)
        response = HttpResponse(read_blob(report.document_id), content_type="application/pdf")
        response["Content-Disposition"] = f'inline; filename="{report.project.key}-report-{report.number}.pdf"'
        return response


class ReportKitView(ApiView):
    """The evidence kit: a zip that verifies offline."""

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, report_id: uuid.UUID) -> HttpResponse | FileResponse:
        report = _report(self, request, report_id)
        actor = self.allowed(request, report.project, "export")
        with TemporaryDirectory() as folder:
            path = export_kit(
                report=report, path=Path(folder) / "evidence-kit.zip", actor=actor, reason="downloaded from the service"
            )
            # The open file outlives its name: the folder may go before the last byte is sent.
            name = f"{report.project.key}-evidence-kit-{report.number}.zip"
            return FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type="application/zip")


def report_json(report: ValidationReport) -> dict[str, object]:
    """Return a report's particulars; whether it is still a draft is computed from its signatures."""
    approval = approval_of(report)
    return {
        "id": str(report.pk),
        "number": report.number,
        "dataset_version": report.dataset_version.number,
        "ledger_size": report.ledger_size,
        "ledger_head": report.ledger_head,
        "document_sha256": report.document_id,
        "draft": approval.draft,
        "approved": approval.approved,
        "signatures": approval.standing,
        "created_at": iso(report.created_at),
    }


def _report(view: ApiView, request: Request, report_id: uuid.UUID) -> ValidationReport:
    report = ValidationReport.objects.select_related("project", "dataset_version").filter(pk=report_id).first()
    if report is None:
        raise NotFound("there is no such report", code="no-such-report")
    require(user=view.caller(request), project=report.project, action="export")
    return report
