from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    name = "qaservice.analysis"
    verbose_name = "Analysis"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.analysis import events  # noqa: F401
