"""Who is who."""

from __future__ import annotations

import hashlib

from django.db.models import Q, QuerySet

from qaservice.accounts.models import ApiToken, User
from qaservice.common.clock import now


def token_digest(token: str) -> str:
    """Return the SHA-256 (hex) under which a bearer token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def user_by_token(token: str) -> User | None:
    """Return the active user whose live token this is, or None."""
    row = (
        ApiToken.objects.select_related("user")
        .filter(Q(expires_at=None) | Q(expires_at__gt=now()), digest=token_digest(token), revoked_at=None)
        .first()
    )
    return row.user if row is not None and row.user.is_active else None


def user_by_name(username: str) -> User | None:
    """Return the user of that name, active or not, or None."""
    return User.objects.filter(username=username).first()


def live_tokens(*, user: User) -> QuerySet[ApiToken]:
    """Return the bearer tokens that still open the API for ``user``, newest first."""
    return ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now()), user=user, revoked_at=None).order_by(
        "-created_at"
    )
