from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "qaservice.api"
    verbose_name = "API"

    def ready(self) -> None:
        # Registers the OpenAPI description of the bearer token with drf-spectacular.
        from qaservice.api import openapi  # noqa: F401
