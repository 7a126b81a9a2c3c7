"""A login as it comes in by a request: from where, whether it is looked at, and what is noted of it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest

from compliance.recording import record_event
from qaservice.accounts.attempts import (
    AttemptKind,
    attempt_failed,
    attempt_succeeded,
    login_failed,
    refuse_if_locked,
    refuse_login_if_locked,
)
from qaservice.accounts.models import User
from qaservice.accounts.passwords import change_own_password
from qaservice.accounts.selectors import user_by_name
from qaservice.accounts.sessions import close_session, end_sessions, open_session, rename_session
from qaservice.common.errors import InvalidInput


def address_of(request: HttpRequest | None) -> str:
    """Return the network address that a request came from, blank where it cannot be known.

    Behind proxies it is what the outermost of the site's own proxies saw: the header's earlier parts are the client's
    to write.
    """
    if request is None:
        return ""
    if settings.PROXIES == 0:
        return str(request.META.get("REMOTE_ADDR", ""))
    parts = [part.strip() for part in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")]
    return parts[-settings.PROXIES] if len(parts) >= settings.PROXIES else ""


def refuse_login(*, username: str, request: HttpRequest | None) -> None:
    """Raise LockedOut where this name or this address has failed too often."""
    refuse_login_if_locked(username=username, known_user=user_by_name(username), address=address_of(request))


def note_failure(*, username: str, request: HttpRequest | None) -> None:
    """Record and count a refused login."""
    login_failed(username=username, known_user=user_by_name(username), address=address_of(request))


def note_login(*, user: User, request: HttpRequest) -> None:
    """Record a login, forget the failures before it, and list its session."""
    record_event("account.login", actor=user.as_actor(role="user"), reason="logged in", subject=("user", str(user.pk)))
    attempt_succeeded(user=user, kind=AttemptKind.LOGIN)
    key = request.session.session_key
    if key:
        open_session(user=user, session_key=key, browser=request.headers.get("User-Agent", ""))


def note_logout(*, user: User, request: HttpRequest) -> None:
    """Record that a person logged out."""
    record_event(
        "account.logout", actor=user.as_actor(role="user"), reason="logged out", subject=("user", str(user.pk))
    )
    if request.session.session_key:
        close_session(session_key=request.session.session_key)


def change_password(*, request: HttpRequest, user: User, old: str, new: str) -> int:
    """Change one's own password; this session goes on, all others end. Return how many those were.

    A wrong present password counts as a failed login: a session left open is no way to guess it. Raises LockedOut,
    and InvalidInput for a wrong password, a weak one or one that was used before.
    """
    refuse_if_locked(user=user, kind=AttemptKind.LOGIN)
    try:
        changed = change_own_password(user=user, old=old, new=new)
    except InvalidInput as error:
        if error.code == "wrong-password":
            attempt_failed(user=user, kind=AttemptKind.LOGIN)
        raise
    before = request.session.session_key or ""
    update_session_auth_hash(request, changed)
    after = request.session.session_key or ""
    rename_session(before=before, after=after)
    return end_sessions(user=changed, actor=changed.as_actor(role="user"), reason="password changed", but=after)
