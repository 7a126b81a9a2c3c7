"""Bearer tokens for programs; people use their session."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from qaservice.accounts.models import User
from qaservice.accounts.selectors import user_by_token


class BearerTokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer TOKEN``."""

    keyword = "Bearer"

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != self.keyword.lower().encode():
            return None
        if len(words) != 2:
            raise AuthenticationFailed("write: Authorization: Bearer TOKEN")
        user = user_by_token(words[1].decode("ascii", errors="replace"))
        if user is None:
            raise AuthenticationFailed("this token is unknown, expired or revoked")
        return user, "token"

    def authenticate_header(self, request: Request) -> str:
        return self.keyword


def openapi_scheme() -> dict[str, Any]:
    """Return the OpenAPI description of the scheme."""
    return {"type": "http", "scheme": "bearer"}
