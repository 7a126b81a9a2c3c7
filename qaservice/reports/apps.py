from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "qaservice.reports"
    verbose_name = "Reports"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.reports import events  # noqa: F401
