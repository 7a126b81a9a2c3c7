"""Who opens a page: the project of its address, the person's roles there, and errors told as pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers

from compliance.recording import Actor, BlankReason
from qaservice.accounts.models import User
from qaservice.common.errors import Conflict, Gone, InvalidInput, NotFound, NotPermitted, ServiceError, Unavailable
from qaservice.portal.navigation import menu, site_menu
from qaservice.projects.models import Project
from qaservice.projects.rules import PERMISSIONS, permits
from qaservice.projects.selectors import project_for, require, roles_of

Arguments = ParamSpec("Arguments")

STATUS_OF: dict[type[ServiceError], int] = {
    InvalidInput: 400,
    NotPermitted: 403,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    Unavailable: 503,
}


@dataclass(frozen=True)
class Visit:
    """One person in one project."""

    user: User
    project: Project
    roles: frozenset[str]

    @property
    def may(self) -> dict[str, bool]:
        """Return for every action whether this person may do it here; templates show buttons by it."""
        return {action: permits(roles=self.roles, action=action) for action in PERMISSIONS}

    def actor(self, action: str) -> Actor:
        """Return the person as the record names them, in the role that permits ``action``. Raises NotPermitted."""
        return self.user.as_actor(role=require(user=self.user, project=self.project, action=action))


def person(request: HttpRequest) -> User:
    """Return the account that is logged in; LoginRequiredMiddleware has seen to it that there is one."""
    return cast(User, request.user)


def status_of(error: ServiceError) -> int:
    """Return the HTTP status for an error of the service."""
    return next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 400)


def problem_page(request: HttpRequest, error: ServiceError) -> HttpResponse:
    """Return a page that says in plain words what is wrong."""
    return render(request, "portal/problem.html", {"problem": error}, status=status_of(error))


def page(
    view: Callable[Concatenate[HttpRequest, Arguments], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, Arguments], HttpResponseBase]:
    """Let a view raise the service's errors, and keep its pages out of shared caches."""

    @wraps(view)
    def told(request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponseBase:
        response: HttpResponseBase
        try:
            response = view(request, *args, **kwargs)
        except ServiceError as error:
            response = problem_page(request, error)
        add_never_cache_headers(response)
        return response

    return told


def visit(request: HttpRequest, *, key: str, action: str) -> Visit:
    """Return who is here. Raises NotFound for someone without a role, NotPermitted where the roles do not allow it."""
    user = person(request)
    project = project_for(user=user, key=key)
    require(user=user, project=project, action=action)
    return Visit(user=user, project=project, roles=roles_of(user=user, project=project))


def show(
    request: HttpRequest, here: Visit, template: str, context: Mapping[str, object], status: int = 200
) -> HttpResponse:
    """Render a page of a project."""
    route = request.resolver_match.url_name if request.resolver_match else ""
    shared = {
        "project": here.project,
        "roles": sorted(here.roles),
        "may": here.may,
        "menu": menu(key=here.project.key, may=here.may, route=route or ""),
    }
    return render(request, f"portal/{template}", {**shared, **context}, status=status)


def administrator(request: HttpRequest) -> User:
    """Return the person if they administer the site. Raises NotPermitted."""
    user = person(request)
    if not user.is_administrator:
        raise NotPermitted("this page is for administrators of the site", code="administrators-only")
    return user


def show_site(request: HttpRequest, template: str, context: Mapping[str, object], status: int = 200) -> HttpResponse:
    """Render a page that belongs to no project; those who are no administrators get no way to the others."""
    route = request.resolver_match.url_name if request.resolver_match else ""
    links = site_menu(route=route or "") if person(request).is_administrator else ()
    return render(request, f"portal/{template}", {"site_menu": links, **context}, status=status)


def carried_out(request: HttpRequest, *, work: Callable[[], str], back: str) -> HttpResponse:
    """Do the work of a button, say how it went, and go back. ``work`` returns the sentence to show."""
    try:
        messages.success(request, work())
    except BlankReason:
        messages.error(request, "Give a reason: the record needs one for every change.")
    except ServiceError as error:
        messages.error(request, sentence(error.message))
    return redirect(back)


def reason_of(request: HttpRequest) -> str:
    """Return the reason that was typed. Raises InvalidInput where it is blank (REQ-13)."""
    reason = request.POST.get("reason", "").strip()
    if not reason:
        raise InvalidInput("Give a reason: the record needs one for every change.", code="reason-missing")
    return reason


def sentence(text: str) -> str:
    """Return a message as a sentence of its own."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
