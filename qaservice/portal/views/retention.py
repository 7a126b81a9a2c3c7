"""How long what is kept, what holds it, what may be done with each study, and what was destroyed."""

from __future__ import annotations

import uuid
from datetime import date

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_GET, require_POST

from qaservice.common.errors import InvalidInput, NotFound
from qaservice.portal.access import carried_out, page, reason_of, show, visit
from qaservice.portal.paging import paged
from qaservice.retention import selectors, services
from qaservice.retention.models import LegalHold, Purpose, RecordClass, RetentionSchedule
from qaservice.studies.models import Study


@require_GET
@page
def retention(request: HttpRequest, key: str) -> HttpResponse:
    """Schedule, holds, studies with their uses, dispositions, and what was destroyed."""
    here = visit(request, key=key, action="audit")
    schedule = selectors.current_schedule(here.project)
    entries = {} if schedule is None else schedule.entries
    studies = paged(request, selectors.studies_of(here.project))
    purposes = dict(Purpose.choices)
    return show(
        request,
        here,
        "retention.html",
        {
            "schedule": schedule,
            "classes": [(value, label, entries.get(value)) for value, label in RecordClass.choices],
            "holds": selectors.standing_holds(here.project),
            "studies": studies,
            "rows": [_row(study, schedule, purposes) for study in studies.page],
            "purposes": Purpose.choices,
            "dispositions": selectors.dispositions_of(here.project),
            "destructions": selectors.destructions_of(here.project),
        },
    )


@require_POST
@page
def set_schedule(request: HttpRequest, key: str) -> HttpResponseBase:
    """Set the schedule, as its next version."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        reason = reason_of(request)
        entries = {
            name: {"years": _years(request, name), "basis": request.POST.get(f"{name}-basis", "")}
            for name in RecordClass.values
        }
        made = services.set_schedule(project=here.project, entries=entries, actor=here.actor("manage"), reason=reason)
        return f"Version {made.number} of the schedule holds from now on."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def place_hold(request: HttpRequest, key: str) -> HttpResponseBase:
    """Place a legal hold on the project, or on one study."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        reason, named = reason_of(request), request.POST.get("study", "").strip()
        study = Study.objects.filter(project=here.project, study_instance_uid=named).first()
        if named and study is None:
            raise InvalidInput("there is no study of that UID in this project", code="no-such-study")
        services.place_hold(
            project=here.project,
            study=study,
            matter=request.POST.get("matter", ""),
            actor=here.actor("manage"),
            reason=reason,
        )
        return "The hold stands; nothing that it covers is destroyed."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def lift_hold(request: HttpRequest, key: str, hold_id: uuid.UUID) -> HttpResponseBase:
    """Lift a legal hold."""
    here = visit(request, key=key, action="manage")
    hold = LegalHold.objects.filter(pk=hold_id, project=here.project).first()
    if hold is None:
        raise NotFound("there is no such hold", code="no-such-hold")

    def work() -> str:
        services.lift_hold(hold=hold, actor=here.actor("manage"), reason=reason_of(request))
        return "The hold is lifted."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def record_use(request: HttpRequest, key: str, study_id: uuid.UUID) -> HttpResponseBase:
    """Record what a study may be used for."""
    here = visit(request, key=key, action="manage")
    study = selectors.study_for(project=here.project, study_id=study_id)

    def work() -> str:
        reason, day = reason_of(request), request.POST.get("until", "").strip()
        services.record_use(
            study=study,
            purposes=request.POST.getlist("purpose"),
            basis=request.POST.get("basis", ""),
            until=_day(day) if day else None,
            actor=here.actor("manage"),
            reason=reason,
        )
        return "The use of the study is recorded."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def withdraw_study(request: HttpRequest, key: str, study_id: uuid.UUID) -> HttpResponseBase:
    """Withdraw the consent to a study's use; its images are destroyed."""
    here = visit(request, key=key, action="manage")
    study = selectors.study_for(project=here.project, study_id=study_id)

    def work() -> str:
        done = services.withdraw_consent(study=study, actor=here.actor("manage"), reason=reason_of(request))
        if done is None:
            return "The consent is withdrawn; nobody reads the images any more."
        return f"The consent is withdrawn, and {done.blobs} files were destroyed; the record names their digests."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def propose(request: HttpRequest, key: str) -> HttpResponseBase:
    """Propose to destroy the images of the marked studies."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        reason = reason_of(request)
        try:
            named = [uuid.UUID(one) for one in request.POST.getlist("study")]
        except ValueError as error:
            raise NotFound("there is no such study in this project", code="no-such-study") from error
        services.propose(
            project=here.project,
            studies=[selectors.study_for(project=here.project, study_id=one) for one in named],
            by=here.user,
            actor=here.actor("manage"),
            reason=reason,
        )
        return "Proposed. A colleague approves it before anything is destroyed."

    return carried_out(request, work=work, back=_back(key))


@require_POST
@page
def disposition_step(request: HttpRequest, key: str, disposition_id: uuid.UUID) -> HttpResponseBase:
    """Approve, drop or carry out a disposition."""
    here = visit(request, key=key, action="manage")
    found = selectors.dispositions_of(here.project).filter(pk=disposition_id).first()
    if found is None:
        raise NotFound("there is no such disposition", code="no-such-disposition")

    def work() -> str:
        reason, actor, step = reason_of(request), here.actor("manage"), request.POST.get("step")
        if step == "approve":
            services.approve(disposition=found, by=here.user, actor=actor, reason=reason)
            return "Approved; it can be carried out now."
        if step == "carry-out":
            services.carry_out(disposition=found, actor=actor, reason=reason)
            return "Carried out; what was destroyed is listed below."
        services.drop(disposition=found, actor=actor, reason=reason)
        return "Dropped; nothing was destroyed."

    return carried_out(request, work=work, back=_back(key))


def _row(study: Study, schedule: RetentionSchedule | None, purposes: dict[str, str]) -> dict[str, object]:
    use = getattr(study, "data_use", None)
    removal = getattr(study, "pixel_removal", None)
    return {
        "study": study,
        "arrived": study.event.occurred_at,
        "use": use,
        "purposes": [purposes.get(one, one) for one in (use.purposes if use is not None else [])],
        "kept_until": None if schedule is None else selectors.kept_until(study, schedule),
        "removal": removal,
    }


def _years(request: HttpRequest, name: str) -> int:
    try:
        return int(request.POST.get(f"{name}-years", ""))
    except ValueError as error:
        raise InvalidInput(f"{name}: the years are a whole number", code="years") from error


def _day(text: str) -> date:
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise InvalidInput("the last day of the use is written YYYY-MM-DD", code="no-day")
    return day


def _back(key: str) -> str:
    return reverse("portal:retention", args=[key])
