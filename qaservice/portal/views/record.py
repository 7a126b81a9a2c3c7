"""The reports made from the record."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from qaservice.jobs.selectors import progress_of
from qaservice.portal.access import carried_out, page, reason_of, show, visit
from qaservice.reports.models import ValidationReport
from qaservice.reports.services import request_report
from qaservice.reports.signing import REPORTS, approval_of


@require_GET
@page
def reports(request: HttpRequest, key: str) -> HttpResponse:
    """The project's reports, with their PDF and kit."""
    here = visit(request, key=key, action="export")
    rows = ValidationReport.objects.filter(project=here.project).select_related("dataset_version").order_by("-number")
    context = {
        "reports": [(report, approval_of(report)) for report in rows],
        "meanings": len(REPORTS.meanings),
        "progress": progress_of(here.project.key),
    }
    return show(request, here, "reports.html", context)


@require_POST
@page
def make_report(request: HttpRequest, key: str) -> HttpResponseBase:
    """Have a report made from the newest dataset version and the record as it stands."""
    here = visit(request, key=key, action="export")

    def work() -> str:
        request_report(project=here.project, actor=here.actor("export"), reason=reason_of(request))
        return "The report is being made; it appears here when it is ready."

    return carried_out(request, work=work, back=reverse("portal:reports", args=[key]))
