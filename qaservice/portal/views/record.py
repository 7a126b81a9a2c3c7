"""The trail, the reports made from it, and the check that nothing in it was altered."""

from __future__ import annotations

from datetime import UTC, datetime, time

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_GET, require_POST

from compliance.models import Event
from compliance.verification import verify_live
from qaservice.jobs.selectors import progress_of
from qaservice.portal.access import carried_out, page, reason_of, show, visit
from qaservice.portal.paging import paged
from qaservice.reports.models import ValidationReport
from qaservice.reports.services import request_report

COLUMNS = {"kind": "kind", "actor": "actor_id", "subject": "subject_id", "text": "reason__icontains"}


@require_GET
@page
def trail(request: HttpRequest, key: str) -> HttpResponse:
    """Everything that happened in the project: who, when, what, and the reason; newest first."""
    here = visit(request, key=key, action="audit")
    events = Event.objects.filter(project_key=here.project.key)
    asked = {name: request.GET.get(name, "").strip() for name in ("kind", "actor", "subject", "text", "since", "until")}
    rows = _narrowed(events, asked).select_related("entry")
    actors = events.order_by("actor_name").values_list("actor_id", "actor_name", "simulated").distinct()
    return show(
        request,
        here,
        "trail.html",
        {
            "rows": paged(request, rows.order_by("-occurred_at", "-id")),
            "kinds": events.order_by("kind").values_list("kind", flat=True).distinct(),
            "actors": actors,
            "asked": asked,
        },
    )


@require_GET
@page
def reports(request: HttpRequest, key: str) -> HttpResponse:
    """The project's reports, with their PDF and kit."""
    here = visit(request, key=key, action="export")
    rows = ValidationReport.objects.filter(project=here.project).select_related("dataset_version").order_by("-number")
    return show(request, here, "reports.html", {"reports": rows, "progress": progress_of(here.project.key)})


@require_POST
@page
def make_report(request: HttpRequest, key: str) -> HttpResponseBase:
    """Have a report made from the newest dataset version and the record as it stands."""
    here = visit(request, key=key, action="export")

    def work() -> str:
        request_report(project=here.project, actor=here.actor("export"), reason=reason_of(request))
        return "The report is being made; it appears here when it is ready."

    return carried_out(request, work=work, back=reverse("portal:reports", args=[key]))


@require_POST
@page
def verify(request: HttpRequest, key: str) -> HttpResponse:
    """Recompute every hash of the record and say whether anything was altered."""
    here = visit(request, key=key, action="audit")
    return show(request, here, "verification.html", {"result": verify_live()})


def _narrowed(events: QuerySet[Event], asked: dict[str, str]) -> QuerySet[Event]:
    for name, column in COLUMNS.items():
        if asked[name]:
            events = events.filter(**{column: asked[name]})
    since, until = _day(asked["since"]), _day(asked["until"])
    if since is not None:
        events = events.filter(occurred_at__gte=datetime.combine(since.date(), time.min, tzinfo=UTC))
    if until is not None:
        events = events.filter(occurred_at__lte=datetime.combine(until.date(), time.max, tzinfo=UTC))
    return events


def _day(text: str) -> datetime | None:
    """Return the day that was typed, at midnight UTC; anything that is no day is no filter."""
    try:
        day = parse_date(text)
    except ValueError:
        return None
    return None if day is None else datetime.combine(day, time.min, tzinfo=UTC)
