from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "qaservice.portal"
    verbose_name = "Portal"
