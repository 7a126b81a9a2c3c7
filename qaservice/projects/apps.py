from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "qaservice.projects"
    verbose_name = "Projects"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.projects import events  # noqa: F401
