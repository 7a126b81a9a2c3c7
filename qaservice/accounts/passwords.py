"""Passwords: one's own change, and an administrator's reset, which gives nobody the power to sign (REQ-28, REQ-29)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from compliance.recording import Actor, change
from qaservice.accounts.models import UsedPassword, User
from qaservice.accounts.selectors import live_tokens
from qaservice.accounts.sessions import end_sessions
from qaservice.common.clock import now
from qaservice.common.errors import InvalidInput, NotPermitted
from qaservice.common.transitions import amend

TEMPORARY_WORDS = 5


@dataclass(frozen=True)
class Reset:
    """What a reset did. ``password`` is shown once and kept nowhere; ``tokens`` still open the API."""

    password: str
    sessions_ended: int
    tokens: int


def password_set_by_another(user: User) -> bool:
    """Return whether the password that stands was set by somebody else than ``user``: then it may not sign."""
    return User.objects.values_list("password_by_another", flat=True).get(pk=user.pk)


def must_change(user: User) -> bool:
    """Return whether ``user`` has to change the password before anything else: it is temporary, or too old."""
    if user.password_must_change:
        return True
    if not settings.PASSWORD_DAYS or user.password_changed_at is None:
        return False
    return user.password_changed_at < now() - timedelta(days=settings.PASSWORD_DAYS)


def checked_password(password: str, *, user: User) -> str:
    """Return the hash of a wanted password. Raises InvalidInput ``weak-password``, saying in words what is wrong."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput(" ".join(error.messages), code="weak-password") from error
    return make_password(password)


def change_own_password(*, user: User, old: str, new: str) -> User:
    """Change one's own password, and return the account as it stands.

    The caller counts failures: InvalidInput ``wrong-password`` is one. Also raises InvalidInput for a weak password or
    one of the last few.
    """
    if not user.check_password(old):
        raise InvalidInput("the present password is wrong; nothing was changed", code="wrong-password")
    encoded = checked_password(new, user=user)
    return _set(
        user=user,
        encoded=encoded,
        temporary=False,
        kind="account.password-changed",
        actor=user.as_actor(role="user"),
        reason="changed by the person",
    )


def reset_password(*, user: User, by: User, reason: str) -> Reset:
    """Give ``user`` a temporary password, to be changed at the next login; their sessions end.

    Until it was changed the account can do nothing else, and sign nothing (REQ-28). What was signed stays signed, and
    bearer tokens stay: the answer counts them. Raises NotPermitted for anybody but another administrator, and for an
    account that is closed or simulated.
    """
    if not by.is_administrator or by.pk == user.pk:
        raise NotPermitted(
            "a password is reset by an administrator; your own you change on your account's page",
            code="administrators-only",
        )
    if not user.is_active or user.is_simulated:
        raise NotPermitted("this account does not log in", code="account-closed")
    password = temporary_password()
    _set(
        user=user,
        encoded=make_password(password),
        temporary=True,
        kind="account.password-reset",
        actor=by.as_actor(role="administrator"),
        reason=reason,
    )
    ended = end_sessions(user=user, actor=by.as_actor(role="administrator"), reason=f"password reset: {reason}")
    return Reset(password=password, sessions_ended=ended, tokens=live_tokens(user=user).count())


def temporary_password() -> str:
    """Return a password that can be read out: five groups of four hexadecimal digits, 80 random bits."""
    return "-".join(secrets.token_hex(2) for _ in range(TEMPORARY_WORDS))


def _set(*, user: User, encoded: str, temporary: bool, kind: str, actor: Actor, reason: str) -> User:
    with change(kind, actor=actor, reason=reason, subject=("user", str(user.pk)), payload={"temporary": temporary}):
        stored = User.objects.select_for_update().get(pk=user.pk)
        if stored.has_usable_password():
            UsedPassword(user=stored, encoded=stored.password, set_at=now()).save(force_insert=True)
        kept = stored.used_passwords.order_by("-set_at", "-pk").values_list("pk", flat=True)
        UsedPassword.objects.filter(user=stored).exclude(pk__in=list(kept[: settings.PASSWORD_HISTORY])).delete()
        return amend(
            stored,
            expected_revision=stored.revision,
            changes={
                "password": encoded,
                "password_by_another": temporary,
                "password_must_change": temporary,
                "password_changed_at": now(),
            },
        )
