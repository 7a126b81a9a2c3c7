from django.apps import AppConfig


class StudiesConfig(AppConfig):
    name = "qaservice.studies"
    verbose_name = "Studies"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.studies import checks, events  # noqa: F401
