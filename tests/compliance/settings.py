"""The least Django that the record needs; the tests put a database of their own in place of this one."""

from django.conf import global_settings

SECRET_KEY = "compliance-tests-only"
INSTALLED_APPS = [
    "compliance.apps.ComplianceConfig",
    "tests.compliance.testapp.apps.TestappConfig",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA foreign_keys=ON"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS
USE_TZ = True
TIME_ZONE = "UTC"
