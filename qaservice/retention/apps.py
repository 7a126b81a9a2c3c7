"""How long records are kept: schedules, legal holds, disposition."""

from __future__ import annotations

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    """Registers the app."""

    name = "qaservice.retention"
    label = "retention"
