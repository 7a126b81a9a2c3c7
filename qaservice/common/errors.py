"""Errors of the service: a stable code and a sentence for people, which the API turns into problem details."""

from __future__ import annotations

from collections.abc import Mapping


class ServiceError(Exception):
    """Base of all errors that a user may see. ``details`` is JSON-able and never holds personal data."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.details: Mapping[str, object] = details or {}


class InvalidInput(ServiceError):
    """What was sent cannot be accepted; nothing was stored."""

    code = "invalid-input"


class NotPermitted(ServiceError):
    """This person may not do this here."""

    code = "not-permitted"


class NotFound(ServiceError):
    """There is no such thing, or this person may not know of it."""

    code = "not-found"


class Conflict(ServiceError):
    """The thing is no longer as the caller saw it, or the order of steps forbids this now."""

    code = "conflict"


class Gone(ServiceError):
    """It was here, and was destroyed for a reason that the record tells; it does not come back."""

    code = "gone"


class Unavailable(ServiceError):
    """Something the service depends on is missing on this installation."""

    code = "unavailable"
