"""Who is trained for what, who had access when, and whether they still need it: of a project, and of the site."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from datetime import date

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.recording import Actor
from qaservice.accounts.models import User
from qaservice.accounts.selectors import user_by_name
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.portal.access import administrator, carried_out, page, reason_of, show, show_site, visit
from qaservice.portal.paging import paged
from qaservice.projects.models import Membership, Project, Role, TrainingRecord
from qaservice.projects.register import as_csv, as_jsonl, note_export, register, review_membership, reviews_due
from qaservice.projects.services import set_policies
from qaservice.projects.training import (
    needs_of,
    record_training,
    records_of,
    trainings_needed,
    withdraw_training,
)

SOON_DAYS = 30
FORMS = {"csv": (as_csv, "text/csv; charset=utf-8"), "jsonl": (as_jsonl, "application/x-ndjson; charset=utf-8")}


@require_GET
@page
def training(request: HttpRequest, key: str) -> HttpResponse:
    """Which trainings each role needs, whose are missing or end soon, and every record."""
    here = visit(request, key=key, action="inspect")
    needs = needs_of(project=here.project, soon_days=SOON_DAYS)
    policy = [(role, label, trainings_needed(project=here.project, role=role)) for role, label in Role.choices]
    context = {
        "needs": needs,
        "asleep": sum(not need.awake for need in needs),
        "soon": sum(need.state == "ends-soon" for need in needs),
        "soon_days": SOON_DAYS,
        "policy": policy,
        "names": sorted({name for _role, _label, names in policy for name in names}),
        "rows": paged(request, records_of(project=here.project)),
    }
    return show(request, here, "training.html", context)


@require_POST
@page
def record(request: HttpRequest, key: str) -> HttpResponseBase:
    """Record that somebody was trained."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        return recorded_training(request, project=here.project, user=named_user(request), actor=here.actor("manage"))

    return carried_out(request, work=work, back=reverse("portal:training", args=[key]))


@require_POST
@page
def take_back(request: HttpRequest, key: str, record_id: uuid.UUID) -> HttpResponseBase:
    """Take a record of training back."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        found = TrainingRecord.objects.select_related("project", "user").filter(pk=record_id, project=here.project)
        kept = found.first()
        if kept is None:
            raise NotFound("there is no such record of training here", code="no-such-training")
        withdraw_training(record=kept, actor=here.actor("manage"), reason=reason_of(request))
        return f"{kept.user.display_name} is no longer taken as trained: {kept.training}."

    return carried_out(request, work=work, back=reverse("portal:training", args=[key]))


@require_POST
@page
def set_trainings(request: HttpRequest, key: str) -> HttpResponseBase:
    """Say which trainings each role needs."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        wanted = {
            role: [name for name in request.POST.get(role, "").split(";") if name.strip()] for role in Role.values
        }
        set_policies(
            project=here.project,
            policies={"training_policy": wanted},
            actor=here.actor("manage"),
            reason=reason_of(request),
        )
        return "The trainings that roles need are set; a role without one sleeps from now on."

    return carried_out(request, work=work, back=reverse("portal:training", args=[key]))


@require_GET
@page
def access(request: HttpRequest, key: str) -> HttpResponse:
    """Who had which role when, by whom and why, and which roles somebody has to look at again."""
    here = visit(request, key=key, action="inspect")
    due = reviews_due(project=here.project)
    context = {
        "due": due,
        "overdue": sum(one.overdue for one in due),
        "rows": paged(request, register(project=here.project)),
    }
    return show(request, here, "access.html", context)


@require_GET
@page
def project_register(request: HttpRequest, key: str, form: str) -> HttpResponse:
    """Take a project's register out as CSV or JSON lines."""
    here = visit(request, key=key, action="inspect")
    return _file(form, actor=here.actor("inspect"), project=here.project)


@require_POST
@page
def review(request: HttpRequest, key: str, membership_id: uuid.UUID) -> HttpResponseBase:
    """Confirm that somebody still needs a role, or take it away."""
    here = visit(request, key=key, action="manage")
    members = Membership.objects.filter(project=here.project)
    work = _reviewed(request, members.filter(pk=membership_id).first(), lambda: here.actor("manage"))
    return carried_out(request, work=work, back=reverse("portal:access", args=[key]))


@require_GET
@page
def site_access(request: HttpRequest) -> HttpResponse:
    """The register of the whole site, with accounts."""
    administrator(request)
    due = reviews_due()
    context = {"due": due, "overdue": sum(one.overdue for one in due), "rows": paged(request, register())}
    return show_site(request, "access.html", context)


@require_GET
@page
def site_register(request: HttpRequest, form: str) -> HttpResponse:
    """Take the site's register out as CSV or JSON lines."""
    return _file(form, actor=administrator(request).as_actor(role="administrator"), project=None)


@require_POST
@page
def site_review(request: HttpRequest, membership_id: uuid.UUID) -> HttpResponseBase:
    """Confirm, as an administrator, that somebody still needs a role, or take it away."""
    actor = administrator(request).as_actor(role="administrator")
    work = _reviewed(request, Membership.objects.filter(pk=membership_id).first(), lambda: actor)
    return carried_out(request, work=work, back="portal:site-access")


def recorded_training(request: HttpRequest, *, project: Project, user: User, actor: Actor) -> str:
    """Record the training that a form describes, and return the sentence that says so."""
    made = record_training(
        project=project,
        user=user,
        training=request.POST.get("training", ""),
        document=request.POST.get("document", ""),
        document_version=request.POST.get("version", ""),
        document_sha256=_digest(request),
        completed_on=day_of(request, "completed_on"),
        valid_until=day_of(request, "valid_until"),
        actor=actor,
        reason=reason_of(request),
    )
    return f"{user.display_name} is trained until {made.valid_until}: {made.training}."


def named_user(request: HttpRequest) -> User:
    """Return the open account of the username that was typed. Raises InvalidInput."""
    name = request.POST.get("username", "").strip()
    user = user_by_name(name)
    if user is None or not user.is_active:
        raise InvalidInput(f"there is no active account {name!r}", code="no-such-user")
    return user


def day_of(request: HttpRequest, name: str) -> date:
    """Return the day that was typed. Raises InvalidInput for anything else."""
    try:
        return date.fromisoformat(request.POST.get(name, "").strip())
    except ValueError as error:
        raise InvalidInput(f"write the day of “{name.replace('_', ' ')}” as YYYY-MM-DD", code="unusable-day") from error


def _digest(request: HttpRequest) -> str:
    """Return the SHA-256 of the document that was handed in, or the one that was typed; the file is not kept."""
    file = request.FILES.get("file")
    if not isinstance(file, UploadedFile):
        return request.POST.get("sha256", "")
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()


def _reviewed(request: HttpRequest, membership: Membership | None, actor: Callable[[], Actor]) -> Callable[[], str]:
    def work() -> str:
        if membership is None:
            raise NotFound("there is no such role here", code="no-such-membership")
        keep = request.POST.get("decision") == "keep"
        review_membership(membership=membership, keep=keep, actor=actor(), reason=reason_of(request))
        who, role = membership.user.display_name, membership.get_role_display()
        return f"{who} still needs to be {role}." if keep else f"{who} is no longer {role}."

    return work


def _file(form: str, *, actor: Actor, project: Project | None) -> HttpResponse:
    if form not in FORMS:
        raise NotFound("the register comes as csv or jsonl", code="no-such-form")
    write, kind = FORMS[form]
    entries = register(project=project)
    note_export(actor=actor, project=project, entries=len(entries), form=form)
    response = HttpResponse(write(entries), content_type=kind)
    name = f"{project.key}-access-register" if project is not None else "access-register"
    response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return response
