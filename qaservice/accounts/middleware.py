"""Between the login and every page: sessions that have ended, and passwords that must be changed first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect

from qaservice.accounts.models import LoginSession, User
from qaservice.accounts.passwords import must_change
from qaservice.accounts.sessions import still_stands


class SessionGuard:
    """Middleware that lets a session go on only while it is listed, not idle for too long, and not too old."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: object, arguments: object, named: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Log out whose session has ended; lead whose password must be changed to the page where one does that."""
        user = request.user
        if not isinstance(user, User):
            return None
        route = request.resolver_match.view_name if request.resolver_match else ""
        session = LoginSession.objects.filter(pk=request.session.session_key, user=user).first()
        if session is None or not still_stands(session=session, by_itself=route in settings.ROUTES_FETCHED_BY_PAGES):
            request.session.flush()
            request.user = AnonymousUser()
            return None
        if route in settings.ROUTES_BEFORE_PASSWORD_CHANGE or not must_change(user):
            return None
        if route.startswith("api:"):
            sentence = "change your password first: it is temporary, or too old"
            body = {"type": "about:blank", "status": 403, "code": "password-must-change", "detail": sentence}
            return JsonResponse({**body, "details": {}}, status=403, content_type="application/problem+json")
        return redirect("portal:password")
