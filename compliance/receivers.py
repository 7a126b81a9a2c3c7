"""After every migrate: triggers stand again, and the runtime role has its rights and no more."""

from __future__ import annotations

from typing import Any

from compliance import history


def after_migrate(using: str, **kwargs: Any) -> None:
    """Install triggers and grants on the database that was just migrated."""
    history.install(using=using)
    history.grant_runtime_role(using=using)
