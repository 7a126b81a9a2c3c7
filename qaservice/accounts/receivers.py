"""Django's login signals, turned into events of the record and rows of sessions (REQ-07)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from qaservice.accounts import logins
from qaservice.accounts.models import User


@receiver(user_logged_in, dispatch_uid="accounts.record-login")
def on_login(sender: object, request: HttpRequest, user: User, **_signal: Any) -> None:
    logins.note_login(user=user, request=request)


@receiver(user_logged_out, dispatch_uid="accounts.record-logout")
def on_logout(sender: object, request: HttpRequest, user: User | None, **_signal: Any) -> None:
    if user is not None:
        logins.note_logout(user=user, request=request)


@receiver(user_login_failed, dispatch_uid="accounts.record-failed-login")
def on_failed_login(
    sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_signal: Any
) -> None:
    logins.note_failure(username=str(credentials.get("username", "")), request=request)
