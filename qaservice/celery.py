"""The Celery application. A message is only a wake-up: the truth about work is in the rows of ``qaservice.jobs``."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qaservice.settings")
app = Celery("qaservice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["qaservice.jobs"])
