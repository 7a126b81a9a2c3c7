"""Where people are logged in: listed, ended by themselves, by an administrator, or by time (REQ-07)."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from compliance.recording import SYSTEM, Actor, record_event
from qaservice.accounts.models import LoginSession, User
from qaservice.common.clock import now
from qaservice.common.errors import NotFound


def open_session(*, user: User, session_key: str, browser: str) -> None:
    """Note a login by session."""
    moment = now()
    LoginSession.objects.update_or_create(
        session_key=session_key,
        defaults={"user": user, "browser": browser[:200], "opened_at": moment, "seen_at": moment},
    )


def sessions_of(*, user: User) -> QuerySet[LoginSession]:
    """Return the sessions of ``user`` that are open now, the last used first."""
    moment = now()
    return LoginSession.objects.filter(
        user=user,
        opened_at__gt=moment - timedelta(seconds=settings.SESSION_LIFETIME_SECONDS),
        seen_at__gt=moment - timedelta(seconds=settings.SESSION_COOKIE_AGE),
    ).order_by("-seen_at")


def session_of(*, user: User, handle: str) -> LoginSession:
    """Return the open session of ``user`` with that handle. Raises NotFound."""
    for session in sessions_of(user=user):
        if session.handle == handle:
            return session
    raise NotFound("there is no such session", code="no-such-session")


def rename_session(*, before: str, after: str) -> None:
    """Follow a session whose key was replaced while its person stays logged in."""
    session = LoginSession.objects.filter(session_key=before).first()
    if session is not None and before != after:
        session.delete()
        session.session_key = after
        session.save(force_insert=True)


def close_session(*, session_key: str) -> None:
    """Forget a session that its person logged out of."""
    LoginSession.objects.filter(session_key=session_key).delete()


def end_session(*, session: LoginSession, actor: Actor, reason: str) -> None:
    """End one session at once, wherever it is used; recorded."""
    record_event(
        "account.session-ended", actor=actor, reason=reason, subject=("user", str(session.user_id)), payload={}
    )
    Session.objects.filter(session_key=session.session_key).delete()
    session.delete()


def end_sessions(*, user: User, actor: Actor, reason: str, but: str = "") -> int:
    """End every session of ``user`` at once, ``but`` that of this key, and return how many there were."""
    sessions = list(LoginSession.objects.filter(user=user).exclude(session_key=but))
    for session in sessions:
        end_session(session=session, actor=actor, reason=reason)
    return len(sessions)


def still_stands(*, session: LoginSession, by_itself: bool) -> bool:
    """Return whether a session may go on, and note that its person did something.

    ``by_itself``: a page fetched something without its person's doing; that keeps no session alive. A session ends
    after the idle time and after its whole lifetime, and both ends are recorded.
    """
    moment = now()
    idle = moment - session.seen_at > timedelta(seconds=settings.SESSION_COOKIE_AGE)
    if idle or moment - session.opened_at > timedelta(seconds=settings.SESSION_LIFETIME_SECONDS):
        reason = "nothing was done for the idle time" if idle else "the longest time of a session is over"
        end_session(session=session, actor=SYSTEM, reason=reason)
        return False
    # To the second is enough, and pages fetch a dozen things at a time.
    if not by_itself and moment - session.seen_at > timedelta(seconds=1):
        session.seen_at = moment
        session.save(update_fields=["seen_at"])
    return True
