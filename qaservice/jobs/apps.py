from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "qaservice.jobs"
    verbose_name = "Jobs"
