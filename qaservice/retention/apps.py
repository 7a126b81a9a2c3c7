"""How long records are kept: schedules, legal holds, disposition, withdrawal; and the watch over places outside."""

from __future__ import annotations

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    """Registers the app and its kinds of event."""

    name = "qaservice.retention"
    label = "retention"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.retention import events  # noqa: F401
