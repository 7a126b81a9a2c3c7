from django.apps import AppConfig


class LabelsConfig(AppConfig):
    name = "qaservice.labels"
    verbose_name = "Labels"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.labels import events  # noqa: F401
