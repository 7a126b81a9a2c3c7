"""The service's settings with the record's test models beside its own: a versioned row that belongs to no domain."""

from qaservice.settings import *  # noqa: F403  # all of them
from qaservice.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.compliance.testapp.apps.TestappConfig"]
