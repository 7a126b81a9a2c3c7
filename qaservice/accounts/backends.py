"""How a name and a password become a person, wherever they are handed in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from qaservice.accounts.attempts import LockedOut
from qaservice.accounts.logins import refuse_login
from qaservice.accounts.models import User


class PasswordBackend(ModelBackend):
    """Django's, which hashes for an unknown name too, behind the lock that repeated failures close."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_other: Any
    ) -> User | None:
        """Return the person, or None. While a lock stands raises PermissionDenied before looking at any password."""
        if username is None or password is None:
            return None
        try:
            refuse_login(username=username, request=request)
        except LockedOut as error:
            raise PermissionDenied(error.message) from error
        found = super().authenticate(request, username=username, password=password)
        return found if isinstance(found, User) else None
