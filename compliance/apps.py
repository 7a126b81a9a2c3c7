"""The app: triggers follow every migrate, and system checks watch over them."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ComplianceConfig(AppConfig):
    name = "compliance"
    verbose_name = "The record"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Importable only once all models are: they walk every installed model.
        from compliance import checks, kinds  # noqa: F401  # registers the system checks and the record's own events
        from compliance.receivers import after_migrate

        post_migrate.connect(after_migrate, sender=self, dispatch_uid="compliance.after_migrate")
