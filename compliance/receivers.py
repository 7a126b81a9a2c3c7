"""After every migrate: triggers stand again, the runtime role has its rights and no more, shapes of rows are kept."""

from __future__ import annotations

from typing import Any

from django.db import connections

from compliance import history
from compliance.models import RowShape
from compliance.registry import recorded_models
from compliance.shapes import keep_shapes


def after_migrate(using: str, **kwargs: Any) -> None:
    """Install triggers and grants on the database that was just migrated, and keep the shapes of its rows."""
    history.install(using=using)
    history.grant_runtime_role(using=using)
    # A migration that was undone may have taken the table with it.
    if RowShape._meta.db_table in connections[using].introspection.table_names():
        keep_shapes(recorded_models(), using=using)
