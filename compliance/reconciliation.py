"""Live versioned rows against their last history row: finds what went around the record.

On PostgreSQL the completeness guard refuses such a change at commit. SQLite cannot, so this is where it comes to light.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import models
from django.db.models import Max

from compliance.ledger.canonical import Json
from compliance.models import LedgerEntry
from compliance.problems import DAMAGED, Damaged, Problem, read_all
from compliance.registry import TableClass, history_model, models_of, tracked_columns
from compliance.rows import row_values

LOOKS = 3
CHUNK = 500


def reconcile() -> Iterator[Problem]:
    """Yield every live row that is not as its last history row says, and every row that is gone without one."""
    for model in models_of(TableClass.VERSIONED):
        yield from _reconcile(model)


def _reconcile(model: type[models.Model]) -> Iterator[Problem]:
    table = model._meta.db_table
    history: models.QuerySet[Any, Any] = models.QuerySet(history_model(model))
    try:
        last: dict[Any, int] = dict(history.order_by().values_list(model._meta.pk.attname).annotate(Max("history_id")))
    except DAMAGED:
        yield Problem(f"{table}: its history names rows that cannot be", table=table)
        return
    try:
        suspects = _suspects(model, last)
    except DAMAGED:
        yield from _one_by_one(model, last)
        return
    for pk in suspects:
        yield from _judge(model, pk)


def _suspects(model: type[models.Model], last: dict[Any, int]) -> list[Any]:
    """Return the keys of the rows that are not letter by letter as their last history rows, by their plain values."""
    rows: models.QuerySet[Any, Any] = models.QuerySet(model)
    history: models.QuerySet[Any, Any] = models.QuerySet(history_model(model))
    key, tracked = model._meta.pk.attname, tracked_columns(model)
    standing = rows.order_by("pk").values_list(key, *_names(model, tracked)).iterator(chunk_size=CHUNK)
    suspects: list[Any] = []
    gone = dict(last)
    while part := list(itertools.islice(standing, CHUNK)):
        newest = history.filter(pk__in=[gone.pop(pk) for pk, *_ in part if pk in gone]).exclude(history_type="-")
        recorded = {pk: _letters(values) for pk, *values in newest.values_list(key, *_names(history.model, tracked))}
        suspects += [pk for pk, *values in part if recorded.get(pk) != _letters(values)]
    # Of these the last history row should say so, which is judged one by one: versioned rows are not deleted.
    return [*suspects, *gone]


def _letters(values: Sequence[object]) -> str:
    return repr([bytes(value) if isinstance(value, memoryview) else value for value in values])


def _names(model: type[models.Model], columns: tuple[str, ...]) -> list[str]:
    names = {str(field.column): field.attname for field in model._meta.concrete_fields}
    return [names[column] for column in columns]


def _one_by_one(model: type[models.Model], last: dict[Any, int]) -> Iterator[Problem]:
    """Do the same where a row cannot be read, and name it."""
    table = model._meta.db_table
    rows: models.QuerySet[Any, Any] = models.QuerySet(model)
    standing = list(read_all(rows.order_by("pk")))
    for start in range(0, len(standing), CHUNK):
        part = standing[start : start + CHUNK]
        recorded = _recorded(model, [last[row.pk] for row in part if isinstance(row, models.Model) and row.pk in last])
        for row in part:
            if isinstance(row, Damaged):
                message = f"{table} {row.key}: its stored bytes cannot be read"
                yield Problem(message, table=table, record_id=str(row.key))
            elif recorded.get(row.pk) != _tracked(row, tracked_columns(model)):
                yield from _judge(model, row.pk)
    there = {row.key if isinstance(row, Damaged) else row.pk for row in standing}
    for pk in last:
        if pk not in there:
            yield from _judge(model, pk)


def _recorded(model: type[models.Model], history_ids: list[int]) -> dict[Any, dict[str, Json] | None]:
    """Return the tracked values of objects by their key, from the given history rows; None for a deletion."""
    rows: models.QuerySet[Any, Any] = models.QuerySet(history_model(model))
    return {
        getattr(row, model._meta.pk.attname): _state(row, tracked_columns(model))
        for row in read_all(rows.filter(pk__in=history_ids).order_by("pk"))
        if not isinstance(row, Damaged)
    }


def _judge(model: type[models.Model], pk: object) -> Iterator[Problem]:
    table = model._meta.db_table
    try:
        yield from _compare(model, pk)
    except DAMAGED:
        yield Problem(f"{table} {pk}: its history cannot be read", table=table, record_id=str(pk))


def _compare(model: type[models.Model], pk: object) -> Iterator[Problem]:
    table = model._meta.db_table
    recorded, live, said = _look(model, pk)
    if recorded == live:
        return
    if recorded is None:
        message, altered = "it stands, and its history does not say so", ""
    elif live is None:
        message, altered = "it is gone without a trace in its history", ""
    else:
        altered = next(name for name in recorded if recorded[name] != live[name])
        message = f"{altered} is not what its history says; it was changed past the record"
    index = models.QuerySet(LedgerEntry).filter(event_id=said).values_list("index", flat=True).first() if said else None
    yield Problem(
        f"{table} {pk}: {message}",
        event_index=index,
        event_id=str(said) if said else "",
        table=table,
        record_id=str(pk),
        field=altered,
    )


def _look(model: type[models.Model], pk: object) -> tuple[dict[str, Json] | None, dict[str, Json] | None, object]:
    """Return the tracked values of a row by its history and as it stands, both of one moment, and the last event.

    A change may commit between the two readings: then the newest history row has moved, and we look again.
    """
    history: models.QuerySet[Any, Any] = models.QuerySet(history_model(model))
    rows = history.filter(**{model._meta.pk.attname: pk}).order_by("-history_id")
    live_rows: models.QuerySet[Any, Any] = models.QuerySet(model)
    columns = tracked_columns(model)
    recorded: dict[str, Json] | None = None
    live: dict[str, Json] | None = None
    said: object = None
    for _ in range(LOOKS):
        newest = rows.first()
        recorded = None if newest is None else _state(newest, columns)
        said = None if newest is None else newest.event_id
        # Not in the model's own order, which may lead through other tables to a row that is not there.
        standing = live_rows.filter(pk=pk).order_by("pk").first()
        live = None if standing is None else _tracked(standing, columns)
        if recorded == live or rows.values_list("pk", flat=True).first() == (newest.pk if newest else None):
            break
    return recorded, live, said


def _state(history: Any, columns: tuple[str, ...]) -> dict[str, Json] | None:
    return None if history.history_type == "-" else _tracked(history, columns)


def _tracked(row: models.Model, columns: tuple[str, ...]) -> dict[str, Json]:
    values = row_values(row)
    return {column: values[column] for column in columns}
