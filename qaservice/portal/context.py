"""What every page says about the installation it runs on."""

from __future__ import annotations

from importlib import metadata

from django.conf import settings
from django.http import HttpRequest

from qaservice.accounts.alerts import open_alerts


def site(request: HttpRequest) -> dict[str, object]:
    """Return ``site``: the version and the database, so that nobody takes an embedded trial for a regulated site.

    To administrators it also says how many alerts wait for them.
    """
    user = getattr(request, "user", None)
    embedded = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
    return {
        "site": {
            "version": _version(),
            "embedded": embedded,
            "database": "embedded (SQLite)" if embedded else "PostgreSQL",
            "open_alerts": open_alerts().count() if getattr(user, "is_administrator", False) else 0,
            "simulated_user": bool(getattr(user, "is_simulated", False)),
        }
    }


def _version() -> str:
    try:
        return metadata.version("label-qa")
    except metadata.PackageNotFoundError:
        return "from source"
