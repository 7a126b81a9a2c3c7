"""One's own access: password, sessions and tokens."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from qaservice.accounts.logins import change_password
from qaservice.accounts.passwords import must_change
from qaservice.accounts.selectors import token_of
from qaservice.accounts.services import issue_token, revoke_token
from qaservice.accounts.sessions import end_session, session_of
from qaservice.common.clock import now
from qaservice.common.errors import InvalidInput, NotPermitted, ServiceError
from qaservice.portal.access import carried_out, page, person, reason_of, sentence


@require_http_methods(["GET", "POST"])
@page
def password(request: HttpRequest) -> HttpResponseBase:
    """Change one's own password; whose password is temporary or too old gets no further than here."""
    user = person(request)
    problem = ""
    if request.method == "POST":
        new = request.POST.get("new", "")
        try:
            if new != request.POST.get("again", ""):
                raise InvalidInput("the two new passwords differ; nothing was changed", code="passwords-differ")
            ended = change_password(request=request, user=user, old=request.POST.get("old", ""), new=new)
        except ServiceError as error:
            problem = sentence(error.message)
        else:
            others = f" {ended} other session{' was' if ended == 1 else 's were'} ended." if ended else ""
            messages.success(request, f"Your password is changed.{others}")
            return redirect("portal:account")
    context = {"problem": problem, "forced": must_change(user), "usable": user.has_usable_password()}
    return render(request, "portal/password.html", context, status=400 if problem else 200)


@require_POST
@page
def end_own_session(request: HttpRequest, handle: str) -> HttpResponseBase:
    """Log out somewhere else."""
    user = person(request)

    def work() -> str:
        session = session_of(user=user, handle=handle)
        end_session(session=session, actor=user.as_actor(role="user"), reason="ended by the person elsewhere")
        return "That session is ended."

    return carried_out(request, work=work, back="portal:account")


@require_POST
@page
def issue_own_token(request: HttpRequest) -> HttpResponse:
    """Give a program a token to act by; it is shown this once."""
    user = person(request)
    if user.is_simulated:
        raise NotPermitted("a simulated actor's tokens are given by an administrator", code="simulated-refused")
    token = issue_token(
        user=user,
        label=request.POST.get("label", ""),
        actor=user.as_actor(role="user"),
        reason=reason_of(request),
        expires_at=now() + timedelta(days=days_of(request)),
    )
    context = {"what": "Your new token", "secret": token, "back": "portal:account", "use": "Authorization: Bearer …"}
    return render(request, "portal/secret.html", context)


@require_POST
@page
def revoke_own_token(request: HttpRequest, handle: str) -> HttpResponseBase:
    """Make one of one's own tokens useless."""
    user = person(request)

    def work() -> str:
        token = token_of(user=user, handle=handle)
        revoke_token(token=token, actor=user.as_actor(role="user"), reason=reason_of(request))
        return f"The token “{token.label}” opens nothing any more."

    return carried_out(request, work=work, back="portal:account")


def days_of(request: HttpRequest) -> int:
    """Return for how many days a token was asked. Raises InvalidInput for anything but a whole number of them."""
    try:
        return min(int(request.POST.get("days", "")), 36500)
    except ValueError as error:
        raise InvalidInput("say in whole days how long the token is to last", code="unusable-days") from error
