"""Which columns a row's digest covers. A model that gains a field later leaves the digests of earlier rows standing.

Each entry of an event names the shape that its digest was taken over. Shapes are kept in a table of their own after
every migrate, so that an old one can be looked up when the model has long moved on.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from django.db import DEFAULT_DB_ALIAS, models

from compliance.models import RowShape
from compliance.rows import shape_id


def current_columns(model: type[models.Model]) -> tuple[str, ...]:
    """Return the columns that a digest taken now covers: all that the table has."""
    return tuple(sorted(str(field.column) for field in model._meta.concrete_fields))


@functools.cache
def current_shape(model: type[models.Model]) -> str:
    """Return the name of the shape that a digest taken now covers."""
    return shape_id(table=model._meta.db_table, columns=current_columns(model))


def known_shapes(recorded: Iterable[type[models.Model]]) -> dict[str, tuple[str, ...]]:
    """Return the columns of every shape that is kept and is what its name says, and of the models as they are now."""
    rows: models.QuerySet[RowShape] = models.QuerySet(RowShape)
    kept = rows.values_list("id", "table", "columns")
    found = {key: tuple(columns) for key, table, columns in kept if _is(key, table, columns)}
    return {**found, **{current_shape(model): current_columns(model) for model in recorded}}


def altered_shapes() -> list[RowShape]:
    """Return the kept shapes that are not what their names say."""
    rows: models.QuerySet[RowShape] = models.QuerySet(RowShape)
    return [shape for shape in rows if not _is(shape.pk, shape.table, shape.columns)]


def lost_columns(recorded: Iterable[type[models.Model]]) -> list[tuple[str, str]]:
    """Return (table, column) of the columns that kept shapes cover and that their tables no longer have."""
    now = {model._meta.db_table: set(current_columns(model)) for model in recorded}
    return sorted(
        {
            (table, column)
            for table, columns in models.QuerySet(RowShape).values_list("table", "columns")
            if table in now
            for column in set(columns) - now[table]
        }
    )


def keep_shapes(recorded: Iterable[type[models.Model]], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Keep the shapes of the models as they are now, unless they are kept already."""
    rows: models.QuerySet[RowShape] = models.QuerySet(RowShape, using=using)
    kept = set(rows.values_list("pk", flat=True))
    rows.bulk_create(
        [
            RowShape(id=current_shape(model), table=model._meta.db_table, columns=list(current_columns(model)))
            for model in recorded
            if current_shape(model) not in kept
        ]
    )


def _is(key: str, table: str, columns: object) -> bool:
    texts = isinstance(columns, list) and all(isinstance(column, str) for column in columns)
    return texts and shape_id(table=table, columns=columns) == key  # type: ignore[arg-type]  # a list of texts, as seen
