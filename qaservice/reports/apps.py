from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "qaservice.reports"
    verbose_name = "Reports"

    def ready(self) -> None:
        # Importing registers this app's event kinds, and what of it can be signed.
        from qaservice.reports import events, signing  # noqa: F401
