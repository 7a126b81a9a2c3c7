"""The way in: login, the person's projects, their account."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET, require_POST

from qaservice.accounts.attempts import LockedOut
from qaservice.accounts.identity import current_identity
from qaservice.accounts.logins import refuse_login
from qaservice.accounts.selectors import live_tokens
from qaservice.accounts.sessions import sessions_of
from qaservice.common.errors import NotPermitted
from qaservice.portal.access import carried_out, page, person, reason_of, sentence
from qaservice.portal.figures import ROLE_NAMES, card_of
from qaservice.projects.models import Role
from qaservice.projects.selectors import granted_roles, projects_of
from qaservice.projects.services import create_project, grant


class LoginForm(AuthenticationForm):
    """Says the same of a wrong password, a name that is no account and an account that is closed."""

    def get_invalid_login_error(self) -> ValidationError:
        """Return what to say after a refused login: until when, where repeated failures have locked it."""
        try:
            refuse_login(username=self.cleaned_data.get("username", ""), request=self.request)
        except LockedOut as error:
            return ValidationError(sentence(error.message), code=error.code)
        return ValidationError("The name or the password is wrong, or the account is closed.", code="invalid_login")


@method_decorator(login_not_required, name="dispatch")
class Login(LoginView):
    """Name and password; a failed try is recorded and told without saying which of the two was wrong."""

    template_name = "portal/login.html"
    authentication_form = LoginForm
    extra_context = {"idle_minutes": settings.SESSION_COOKIE_AGE // 60}
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
    """Who one is here, in which roles, where one is logged in, and by which tokens programs act for one."""
    user = person(request)
    memberships = [
        (project, [(ROLE_NAMES[role], missing) for role, missing in granted_roles(user=user, project=project).items()])
        for project in projects_of(user=user)
    ]
    context = {
        "memberships": memberships,
        "identity": current_identity(user=user),
        "sessions": sessions_of(user=user),
        "this_session": request.session.session_key,
        "tokens": live_tokens(user=user),
        "most_days": settings.TOKEN_MOST_DAYS,
    }
    return render(request, "portal/account.html", context)
