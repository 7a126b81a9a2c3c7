"""Deliveries and series: what came, what was refused and why, and the images."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.db.models import Count, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from qaservice.analysis.golden import golden_cases
from qaservice.analysis.said import said_of
from qaservice.analysis.standing import run_fitness, series_standings
from qaservice.common.errors import InvalidInput, NotFound, ServiceError
from qaservice.jobs.selectors import progress_of
from qaservice.labels.summaries import set_summaries
from qaservice.portal.access import Visit, page, reason_of, sentence, show, status_of, visit
from qaservice.portal.paging import paged
from qaservice.studies.models import Ingest, IngestItem, Outcome, Series
from qaservice.studies.quarantine import quarantined
from qaservice.studies.selectors import items_of, series_of
from qaservice.studies.services import receive_upload
from qaservice.studies.withdrawn import require_pixels

TROUBLE = (Outcome.REFUSED, Outcome.QUARANTINED)


@require_http_methods(["GET", "POST"])
@page
def upload(request: HttpRequest, key: str) -> HttpResponseBase:
    """Hand in a file or an archive; earlier deliveries are listed below."""
    here = visit(request, key=key, action="ingest")
    problem, status = "", 200
    if request.method == "POST":
        try:
            ingest = _received(request, here)
        except ServiceError as error:
            problem, status = sentence(error.message), status_of(error)
        else:
            messages.success(request, f"{ingest.source_name} has arrived and is being read.")
            return redirect(reverse("portal:delivery", args=[key, ingest.pk]))
    first_states = Ingest.history.filter(id=OuterRef("pk")).order_by("history_id")
    deliveries = (
        Ingest.objects.filter(project=here.project)
        .annotate(files=Count("items"), received_at=Subquery(first_states.values("history_date")[:1]))
        .order_by("-received_at")
    )
    context = {"deliveries": deliveries, "problem": problem, "typed_reason": request.POST.get("reason", "")}
    return show(request, here, "upload.html", context, status=status)


@require_GET
@page
def delivery(request: HttpRequest, key: str, ingest_id: uuid.UUID) -> HttpResponse:
    """Every file of one delivery with its outcome and reason."""
    here = visit(request, key=key, action="ingest")
    ingest = Ingest.objects.filter(pk=ingest_id, project=here.project).first()
    if ingest is None:
        raise NotFound("there is no such delivery", code="no-such-ingest")
    asked = request.GET.get("outcome", "")
    items = items_of(ingest)
    if asked == "trouble":
        items = items.filter(outcome__in=TROUBLE)
    elif asked in Outcome.values:
        items = items.filter(outcome=asked)
    numbers = dict(
        IngestItem.objects.filter(ingest=ingest).values_list("outcome").annotate(n=Count("pk")).order_by("outcome")
    )
    progress = progress_of(here.project.key)
    return show(
        request,
        here,
        "delivery.html",
        {
            "ingest": ingest,
            "items": paged(request, items),
            "numbers": [(value, text, numbers.get(value, 0)) for value, text in Outcome.choices],
            "trouble": sum(numbers.get(value, 0) for value in TROUBLE),
            "asked": asked,
            "progress": progress,
            "waiting": quarantined(project=here.project, state="open").filter(ingest=ingest).count(),
            "retries": Ingest.objects.filter(retry_of=ingest).order_by("pk"),
        },
    )


@require_GET
@page
def series_list(request: HttpRequest, key: str) -> HttpResponse:
    """All series with the geometry gate's verdicts."""
    here = visit(request, key=key, action="view")
    return show(request, here, "series_list.html", {"rows": paged(request, series_of(here.project))})


@require_GET
@page
def series(request: HttpRequest, key: str, series_id: uuid.UUID) -> HttpResponse:
    """One series in the viewer, without flags; those who inspect may see every reader's labels."""
    here = visit(request, key=key, action="view")
    row = Series.objects.select_related("study").filter(pk=series_id, project=here.project).first()
    if row is None:
        raise NotFound("there is no such series", code="no-such-series")
    index = request.GET.get("slice", "")
    require_pixels(row)
    context: dict[str, object] = {"series": row, "slice": index if index.isdigit() else ""}
    if here.may["inspect"]:
        context["sets"] = set_summaries(series=row)
        context["golden"] = golden_cases(project=here.project).filter(series=row).first()
        context["model_standings"] = [(one, run_fitness(one.run)[0]) for one in series_standings(series=row)]
        context["said"] = said_of(series=row)
    return show(request, here, "series.html", context)


def _received(request: HttpRequest, here: Visit) -> Ingest:
    reason = reason_of(request)
    file = request.FILES.get("file")
    if file is None:
        raise InvalidInput("choose a file to hand in", code="file-missing")
    return receive_upload(
        project=here.project, filename=file.name or "upload", stream=file, actor=here.actor("ingest"), reason=reason
    )
