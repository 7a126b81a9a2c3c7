"""The way in: login, the person's projects, their account."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET, require_POST

from qaservice.common.errors import NotPermitted
from qaservice.portal.access import carried_out, page, person, reason_of
from qaservice.portal.figures import ROLE_NAMES, card_of
from qaservice.projects.models import Role
from qaservice.projects.selectors import projects_of, roles_of
from qaservice.projects.services import create_project, grant


@method_decorator(login_not_required, name="dispatch")
class Login(LoginView):
    """Name and password; a failed try is recorded and told without saying which of the two was wrong."""

    template_name = "portal/login.html"
    redirect_authenticated_user = True


@require_GET
@page
def home(request: HttpRequest) -> HttpResponse:
    """The person's projects, with what awaits them in each."""
    user = person(request)
    cards = [card_of(user=user, project=project) for project in projects_of(user=user)]
    return render(request, "portal/home.html", {"cards": cards, "may_open": not user.is_simulated})


@require_POST
@page
def open_project(request: HttpRequest) -> HttpResponseBase:
    """Open a project; whoever does becomes its QA lead."""
    user = person(request)
    if user.is_simulated:
        raise NotPermitted("a simulated actor cannot open a project", code="simulated-refused")
    key = request.POST.get("key", "").strip()

    def work() -> str:
        reason = reason_of(request)
        actor = user.as_actor(role="administrator" if user.is_administrator else "QA lead")
        title = request.POST.get("title", "").strip() or key
        project = create_project(key=key, title=title, actor=actor, reason=reason)
        grant(project=project, user=user, role=Role.QA_LEAD, actor=actor, reason=reason)
        return f"Project {project.title} is open, and you are its QA lead."

    return carried_out(request, work=work, back="portal:home")


@require_GET
@page
def account(request: HttpRequest) -> HttpResponse:
    """Who one is here, and in which roles."""
    user = person(request)
    memberships = [
        (project, [ROLE_NAMES[role] for role in sorted(roles_of(user=user, project=project))])
        for project in projects_of(user=user)
    ]
    return render(request, "portal/account.html", {"memberships": memberships})
