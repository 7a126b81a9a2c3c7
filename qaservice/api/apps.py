from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "qaservice.api"
    verbose_name = "API"
