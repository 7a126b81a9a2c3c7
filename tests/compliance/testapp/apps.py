from django.apps import AppConfig


class TestappConfig(AppConfig):
    name = "tests.compliance.testapp"
    label = "testapp"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tests.compliance.testapp import events  # noqa: F401  # registers the kinds of event
