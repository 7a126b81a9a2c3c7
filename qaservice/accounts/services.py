"""Opening and closing accounts, and the tokens by which programs act for them."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from compliance.recording import Actor, change
from qaservice.accounts.identity import withdraw_identity
from qaservice.accounts.models import ApiToken, User, UserKind
from qaservice.accounts.passwords import Reset, checked_password, reset_password
from qaservice.accounts.selectors import token_digest
from qaservice.accounts.sessions import end_sessions
from qaservice.common.clock import iso, now
from qaservice.common.errors import Conflict, InvalidInput, NotPermitted
from qaservice.common.transitions import amend


def create_user(
    *,
    username: str,
    display_name: str,
    password: str | None,
    kind: str = UserKind.PERSON,
    actor: Actor,
    reason: str,
    email: str = "",
    credentials: str = "",
    is_administrator: bool = False,
    password_is_temporary: bool = False,
) -> User:
    """Open an account and return it. Without a password the account cannot log in until one is set.

    Whoever opens it knows the password, so the person signs nothing before changing it; a temporary one has to be
    changed before anything else is done.

    Raises InvalidInput for a weak password or an unusable name, Conflict where the username was ever issued (REQ-25).
    """
    username = User.normalize_username(username.strip())
    if not username or not display_name.strip():
        raise InvalidInput("an account needs a username and a name", code="account-without-name")
    if User.objects.filter(username__iexact=username).exists():
        raise Conflict(f"the username {username!r} was issued before; choose another", code="username-taken")
    user = User(
        username=username,
        display_name=display_name.strip(),
        kind=kind,
        email=email,
        credentials=credentials,
        is_administrator=is_administrator,
        password_must_change=password_is_temporary,
        password_changed_at=now(),
    )
    if password is None:
        user.set_unusable_password()
    else:
        user.password = checked_password(password, user=user)
    with change("account.created", actor=actor, reason=reason, subject=("user", str(user.pk))) as running:
        running.payload.update({"kind": str(kind), "administrator": is_administrator})
        user.save()
    return user


def deactivate_user(*, user: User, actor: Actor, reason: str) -> User:
    """Close an account at once: no login, no session and no token of it works any more. The row stays."""
    with change("account.deactivated", actor=actor, reason=reason, subject=("user", str(user.pk))):
        closed = amend(user, expected_revision=user.revision, changes={"is_active": False})
    for token in ApiToken.objects.filter(user=user, revoked_at=None):
        revoke_token(token=token, actor=actor, reason=f"account closed: {reason}")
    end_sessions(user=user, actor=actor, reason=f"account closed: {reason}")
    return closed


def reopen_user(*, user: User, by: User, reason: str) -> Reset:
    """Open a person's closed account again, for that person: a temporary password, and an identity to be verified anew.

    ``signatures.reopening`` takes back what else the account had. Raises NotPermitted for anybody but an
    administrator and for what is no person's account, Conflict for one that is open.
    """
    if not by.is_administrator:
        raise NotPermitted("an account is opened again by an administrator", code="administrators-only")
    if user.kind != UserKind.PERSON:
        raise NotPermitted("only a person comes back: open a new account for a machine", code="not-a-person")
    if user.is_active:
        raise Conflict("this account is open", code="account-open")
    with transaction.atomic():
        actor = by.as_actor(role="administrator")
        with change("account.reopened", actor=actor, reason=reason, subject=("user", str(user.pk))):
            opened = amend(user, expected_revision=user.revision, changes={"is_active": True})
        check = opened.identity_checks.select_related("user").filter(withdrawn_at=None).first()
        if check is not None:
            withdraw_identity(check=check, by=by, reason=f"account reopened: {reason}")
        return reset_password(user=opened, by=by, reason=f"account reopened: {reason}")


def issue_token(*, user: User, label: str, actor: Actor, reason: str, expires_at: datetime | None = None) -> str:
    """Return a new bearer token of ``user``. It is shown once: only its SHA-256 is kept.

    Without ``expires_at`` it lasts as long as the site gives tokens by default. Raises InvalidInput for a token without
    a label, one that would outlast the site's longest, and one for a closed account.
    """
    moment = now()
    until = expires_at or moment + timedelta(days=settings.TOKEN_DAYS)
    if not label.strip() or len(label) > 100:
        raise InvalidInput("say in 1 to 100 characters what the token is for", code="token-without-label")
    if not moment < until <= moment + timedelta(days=settings.TOKEN_MOST_DAYS):
        raise InvalidInput(f"a token lasts at most {settings.TOKEN_MOST_DAYS} days from now", code="token-too-long")
    if not user.is_active:
        raise InvalidInput("this account is closed", code="account-closed")
    token = secrets.token_urlsafe(32)
    row = ApiToken(digest=token_digest(token), user=user, label=label.strip(), created_at=moment, expires_at=until)
    with change("account.token-issued", actor=actor, reason=reason, subject=("user", str(user.pk))) as running:
        running.payload.update({"label": row.label, "token": row.handle, "expires_at": iso(until)})
        row.save(force_insert=True)
    return token


def revoke_token(*, token: ApiToken, actor: Actor, reason: str) -> None:
    """Make a bearer token useless, at once. Raises Conflict for one that was revoked before."""
    if token.revoked_at is not None:
        raise Conflict("this token was revoked before", code="already-revoked")
    with change(
        "account.token-revoked",
        actor=actor,
        reason=reason,
        subject=("user", str(token.user_id)),
        payload={"label": token.label, "token": token.handle},
    ):
        token.revoked_at = now()
        token.save(update_fields=["revoked_at"])
