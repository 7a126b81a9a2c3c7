"""One project: overview, the buttons of its leaders, and its people."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from qaservice.accounts.models import User
from qaservice.accounts.selectors import user_by_name
from qaservice.analysis.approvals import approved_models
from qaservice.analysis.external import prediction_names
from qaservice.analysis.selectors import runs_of
from qaservice.analysis.services import request_run
from qaservice.common.errors import InvalidInput, NotFound
from qaservice.jobs.selectors import progress_of
from qaservice.labels.models import AnnotationSet, DatasetVersion, ReaderIdentity, SetKind
from qaservice.labels.services import identify_reader
from qaservice.portal.access import carried_out, page, reason_of, show, visit
from qaservice.portal.figures import card_of, flag_rows, label_figures
from qaservice.projects.models import Membership, Role
from qaservice.projects.services import grant, withdraw
from qaservice.projects.training import awake
from qaservice.reports.models import ValidationReport
from qaservice.review.services import assign_open_flags
from qaservice.studies.quarantine import open_count


@require_GET
@page
def overview(request: HttpRequest, key: str) -> HttpResponse:
    """Where the project stands. Readers see nothing here that would tell them what a check or another reader says."""
    here = visit(request, key=key, action="view")
    context: dict[str, object] = {
        "labels": label_figures(project=here.project),
        "card": card_of(user=here.user, project=here.project),
    }
    if here.may["analyse"]:
        context["progress"] = progress_of(here.project.key)
        context["in_quarantine"] = open_count(here.project)
        context["prediction_names"] = prediction_names(here.project)
        context["approved_models"] = approved_models(project=here.project)
    if here.may["inspect"]:
        context |= {
            "flags": flag_rows(project=here.project),
            "runs": runs_of(project=here.project)[:5],
            "versions": DatasetVersion.objects.filter(project=here.project).order_by("-number")[:5],
            "reports": ValidationReport.objects.filter(project=here.project).order_by("-number")[:3],
        }
    return show(request, here, "overview.html", context)


@require_POST
@page
def analyse(request: HttpRequest, key: str) -> HttpResponseBase:
    """Ask for a run over the dataset as it stands."""
    here = visit(request, key=key, action="analyse")

    def work() -> str:
        run = request_run(
            project=here.project,
            actor=here.actor("analyse"),
            reason=reason_of(request),
            predictions=request.POST.get("predictions", ""),
            model_name=request.POST.get("model", ""),
        )
        return f"Run {run.number} is queued; the flags appear as it goes on."

    return carried_out(request, work=work, back=_overview(key))


@require_POST
@page
def assign(request: HttpRequest, key: str) -> HttpResponseBase:
    """Give every open flag the readers that the protocol asks for."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        made = assign_open_flags(project=here.project, actor=here.actor("manage"), reason=reason_of(request))
        if not made:
            return "No flag wanted a reader, or no one else may read those that do."
        flags = len({assignment.flag_id for assignment in made})
        return f"{len(made)} reads assigned on {flags} flags."

    return carried_out(request, work=work, back=_overview(key))


@require_GET
@page
def people(request: HttpRequest, key: str) -> HttpResponse:
    """Who has which role, and which accounts the readers named in source files are."""
    here = visit(request, key=key, action="inspect")
    sets = AnnotationSet.objects.filter(project=here.project, kind=SetKind.READER)
    active = Membership.objects.filter(project=here.project, active=True).select_related("user")
    return show(
        request,
        here,
        "people.html",
        {
            "members": Membership.objects.filter(project=here.project)
            .select_related("user")
            .order_by("-active", "role", "user__username"),
            "identities": ReaderIdentity.objects.filter(project=here.project)
            .select_related("user")
            .order_by("reader_label"),
            "reader_labels": sets.values_list("reader_label", flat=True).distinct().order_by("reader_label"),
            "awake": {member.pk for member in awake(project=here.project, members=active)},
            "role_choices": Role.choices,
        },
    )


@require_POST
@page
def grant_role(request: HttpRequest, key: str) -> HttpResponseBase:
    """Give a person a role."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        user = _named_user(request)
        role = request.POST.get("role", "")
        reason = reason_of(request)
        grant(project=here.project, user=user, role=role, actor=here.actor("manage"), reason=reason)
        return f"{user.display_name} is {dict(Role.choices)[role]} in this project."

    return carried_out(request, work=work, back=reverse("portal:people", args=[key]))


@require_POST
@page
def withdraw_role(request: HttpRequest, key: str, membership_id: uuid.UUID) -> HttpResponseBase:
    """Take a role away."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        membership = (
            Membership.objects.select_related("user", "project").filter(pk=membership_id, project=here.project).first()
        )
        if membership is None:
            raise NotFound("there is no such role here", code="no-such-membership")
        withdraw(membership=membership, actor=here.actor("manage"), reason=reason_of(request))
        return f"{membership.user.display_name} is no longer {membership.get_role_display()} here."

    return carried_out(request, work=work, back=reverse("portal:people", args=[key]))


@require_POST
@page
def identify(request: HttpRequest, key: str) -> HttpResponseBase:
    """Say which account a reader named in a source file is, so that nobody votes on their own label."""
    here = visit(request, key=key, action="manage")

    def work() -> str:
        user = _named_user(request)
        label = request.POST.get("reader_label", "")
        identify_reader(
            project=here.project, reader_label=label, user=user, actor=here.actor("manage"), reason=reason_of(request)
        )
        return f"{label} is {user.display_name}, who will not be asked about labels of their own."

    return carried_out(request, work=work, back=reverse("portal:people", args=[key]))


def _named_user(request: HttpRequest) -> User:
    name = request.POST.get("username", "").strip()
    user = user_by_name(name)
    if user is None or not user.is_active:
        raise InvalidInput(f"there is no active account {name!r}", code="no-such-user")
    return user


def _overview(key: str) -> str:
    return reverse("portal:overview", args=[key])
