"""Flags for those who lead or inspect: the list, and the whole record of one."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from qaservice.accounts.selectors import user_by_name
from qaservice.analysis.calibration import past_precision, precision_of
from qaservice.analysis.models import Flag, FlagState
from qaservice.analysis.patterns import newest_run, patterns_of
from qaservice.analysis.selectors import BY_VALUE, flags_of
from qaservice.analysis.standing import held_flags, worth_of_flags
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.portal.access import Visit, carried_out, page, reason_of, show, visit
from qaservice.portal.figures import flag_rows
from qaservice.portal.paging import paged
from qaservice.projects.models import Role
from qaservice.projects.selectors import roles_of
from qaservice.review.duties import deciders
from qaservice.review.records import flag_record
from qaservice.review.selectors import undecided
from qaservice.review.services import send_to_adjudicator

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
    flag = _flag(here, flag_id)
    context: dict[str, object] = {"flag": flag, "record": flag_record(flag=flag)}
    if here.may["manage"] and flag.state == FlagState.DISPUTED:
        context |= _who_decides(flag)
    return show(request, here, "flag.html", context)


@require_POST
@page
def adjudicate(request: HttpRequest, key: str, flag_id: uuid.UUID) -> HttpResponseBase:
    """Ask somebody to decide a flag on which readers disagree."""
    here = visit(request, key=key, action="manage")
    flag = _flag(here, flag_id)

    def work() -> str:
        chosen = user_by_name(request.POST.get("adjudicator", ""))
        if chosen is None:
            raise InvalidInput("say who decides", code="no-such-user")
        send_to_adjudicator(flag=flag, adjudicator=chosen, actor=here.actor("manage"), reason=reason_of(request))
        return f"{chosen} was asked to decide {flag}; it waits on their worklist."

    return carried_out(request, work=work, back=reverse("portal:flag", args=[key, flag.pk]))


def _flag(here: Visit, flag_id: uuid.UUID) -> Flag:
    rows = Flag.objects.select_related("project", "series__study", "annotation_set")
    flag = rows.filter(pk=flag_id, project=here.project).first()
    if flag is None:
        raise NotFound("there is no such flag", code="no-such-flag")
    return flag


def _who_decides(flag: Flag) -> dict[str, object]:
    """Return who may be asked to decide, with whether they are adjudicators, or why nobody is asked now."""
    waiting = undecided(flag=flag)
    if waiting is not None:
        return {"deciders": [], "no_decider": f"{waiting.reader} was asked to decide it and has not yet."}
    found = [(one, Role.ADJUDICATOR in roles_of(user=one, project=flag.project)) for one in deciders(flag=flag)]
    why = "Nobody may decide it: whoever may read here has read it, or labelled it. Give somebody else the role."
    return {"deciders": found, "no_decider": why}
