from django.apps import AppConfig


class ReviewConfig(AppConfig):
    name = "qaservice.review"
    verbose_name = "Review"

    def ready(self) -> None:
        # Importing registers this app's event kinds; an unregistered kind is refused when it is recorded.
        from qaservice.review import events  # noqa: F401
