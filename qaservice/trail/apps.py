"""The trail of the record: searched, read as the life of one record, exported."""

from __future__ import annotations

from django.apps import AppConfig


class TrailConfig(AppConfig):
    """Registers the app."""

    name = "qaservice.trail"
    label = "trail"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.trail import events  # noqa: F401
