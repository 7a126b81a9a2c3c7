"""What every page says about the installation it runs on."""

from __future__ import annotations

from importlib import metadata

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, object]:
    """Return ``site``: the version and the database, so that nobody takes an embedded trial for a regulated site."""
    embedded = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
    return {
        "site": {
            "version": _version(),
            "embedded": embedded,
            "database": "embedded (SQLite)" if embedded else "PostgreSQL",
            "simulated_user": bool(getattr(request.user, "is_simulated", False)) if hasattr(request, "user") else False,
        }
    }


def _version() -> str:
    try:
        return metadata.version("label-qa")
    except metadata.PackageNotFoundError:
        return "from source"
