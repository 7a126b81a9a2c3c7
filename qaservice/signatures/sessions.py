"""What a login session has shown. A signature takes the session of the very person, and never a bearer token."""

from __future__ import annotations

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase

from qaservice.accounts.models import User
from qaservice.common.errors import NotPermitted
from qaservice.signatures.models import SecondFactor

SHOWN = "signed_with_second_factor"


def require_own(session: SessionBase, *, user: User) -> None:
    """Raise NotPermitted unless ``session`` is one in which ``user`` has logged in."""
    if str(session.get(SESSION_KEY, "")) != str(user.pk):
        raise NotPermitted(
            "signing takes a person's own login session; a token of a program never signs", code="no-session"
        )


def has_shown(session: SessionBase, *, factor: SecondFactor) -> bool:
    """Return whether a signature of this session was given with ``factor``; a replaced factor has to be shown anew."""
    return str(session.get(SHOWN, "")) == str(factor.pk)


def note_shown(session: SessionBase, *, factor: SecondFactor) -> None:
    """Remember that the session's first signature was given with ``factor``; a logout forgets it."""
    session[SHOWN] = str(factor.pk)
