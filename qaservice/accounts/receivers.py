"""Django's login signals, turned into events of the record (REQ-07)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver

from qaservice.accounts import services
from qaservice.accounts.models import User
from qaservice.accounts.selectors import user_by_name


@receiver(user_logged_in, dispatch_uid="accounts.record-login")
def on_login(sender: object, user: User, **_signal: Any) -> None:
    services.record_login(user=user)


@receiver(user_login_failed, dispatch_uid="accounts.record-failed-login")
def on_failed_login(sender: object, credentials: dict[str, Any], **_signal: Any) -> None:
    services.record_failed_login(known_user=user_by_name(str(credentials.get("username", ""))))
