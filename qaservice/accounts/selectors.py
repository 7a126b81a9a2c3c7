"""Who is who."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.db.models import QuerySet

from qaservice.accounts.models import ApiToken, User
from qaservice.common.clock import now
from qaservice.common.errors import NotFound

USE_NOTED_EVERY = timedelta(minutes=1)
HANDLE = 16


def token_digest(token: str) -> str:
    """Return the SHA-256 (hex) under which a bearer token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def user_by_token(token: str) -> User | None:
    """Return the active user whose live token this is, or None; note, to the minute, that it was used."""
    moment = now()
    row = (
        ApiToken.objects.select_related("user")
        .filter(expires_at__gt=moment, digest=token_digest(token), revoked_at=None)
        .first()
    )
    if row is None or not row.user.is_active:
        return None
    if row.last_used_at is None or moment - row.last_used_at > USE_NOTED_EVERY:
        row.last_used_at = moment
        row.save(update_fields=["last_used_at"])
    return row.user


def user_by_name(username: str) -> User | None:
    """Return the user of that name, active or not, or None."""
    return User.objects.filter(username=username).first()


def live_tokens(*, user: User) -> QuerySet[ApiToken]:
    """Return the bearer tokens that still open the API for ``user``, newest first."""
    return ApiToken.objects.filter(expires_at__gt=now(), user=user, revoked_at=None).order_by("-created_at")


def token_of(*, user: User, handle: str) -> ApiToken:
    """Return the live token of ``user`` with that handle. Raises NotFound."""
    token = live_tokens(user=user).filter(digest__startswith=handle).first() if len(handle) == HANDLE else None
    if token is None:
        raise NotFound("there is no such token", code="no-such-token")
    return token


def account_by_id(*, user_id: str) -> User:
    """Return an account, open or closed. Raises NotFound."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound("there is no such account", code="no-such-account")
    return user


def accounts() -> QuerySet[User]:
    """Return all accounts, open ones first, by name."""
    return User.objects.order_by("-is_active", "username")
