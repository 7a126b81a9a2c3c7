"""Flags for those who lead or inspect: the list, and the whole record of one."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from qaservice.analysis.calibration import past_precision, precision_of
from qaservice.analysis.models import Flag, FlagState
from qaservice.analysis.patterns import newest_run, patterns_of
from qaservice.analysis.selectors import BY_VALUE, flags_of
from qaservice.analysis.standing import held_flags, worth_of_flags
from qaservice.common.errors import NotFound
from qaservice.portal.access import page, show, visit
from qaservice.portal.figures import flag_rows
from qaservice.portal.paging import paged
from qaservice.review.records import flag_record

ORDERINGS = (
    ("-value", "most worth a look first"),
    ("-score", "most likely wrong first"),
    ("score", "least likely wrong first"),
    ("number", "number"),
    ("-number", "number, newest first"),
    ("check_name", "check"),
    ("state", "state"),
)


@require_GET
@page
def flag_list(request: HttpRequest, key: str) -> HttpResponse:
    """What the newest run's flags have in common, and the flags, filtered by check and state, in the wished order."""
    here = visit(request, key=key, action="inspect")
    check, state = request.GET.get("check", ""), request.GET.get("state", "")
    ordering = request.GET.get("ordering", BY_VALUE)
    rows = flags_of(project=here.project, check=check, state=state, ordering=ordering)
    listed = paged(request, rows)
    worth = worth_of_flags(listed.page)
    precision = past_precision(project=here.project)
    for flag in listed.page:
        flag.worth = worth[flag.pk]
        flag.place_mm = (flag.x_mm, flag.y_mm, flag.z_mm)
        flag.precision = precision_of(check=flag.check_name, known=precision)
    return show(
        request,
        here,
        "flags.html",
        {
            "rows": listed,
            # Patterns are of the whole run: they belong on the first page, before single flags.
            "found": patterns_of(run=newest_run(project=here.project)) if listed.page.number == 1 else None,
            "held": held_flags(project=here.project).count(),
            "checks": [row.check for row in flag_rows(project=here.project)],
            "states": FlagState.choices,
            "orderings": ORDERINGS,
            "check": check,
            "state": state,
            "ordering": ordering,
        },
    )


@require_GET
@page
def flag_page(request: HttpRequest, key: str, flag_id: uuid.UUID) -> HttpResponse:
    """Everything known of one flag: evidence, who was asked, votes with what was shown, outcome, history."""
    here = visit(request, key=key, action="inspect")
    flag = (
        Flag.objects.select_related("project", "series__study", "annotation_set")
        .filter(pk=flag_id, project=here.project)
        .first()
    )
    if flag is None:
        raise NotFound("there is no such flag", code="no-such-flag")
    return show(request, here, "flag.html", {"flag": flag, "record": flag_record(flag=flag)})
