"""Every column of every table that the record watches, altered by the database's owner: found, and named (REQ-01).

One column of each table at a time is altered, in all tables at once, and taken back. Each alteration has to be named:
its table, its record, its column, its event; and nothing else may be accused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pytest
from django.db import models

from compliance.events import is_bulk
from compliance.models import Event, LedgerEntry, RowShape, Subtree
from compliance.problems import Problem
from compliance.registry import TableClass, history_model, models_of, subject_model, tracked_columns
from tests.matrices.altering import another, every_problem, set_columns, take_the_guards_away, undone, values_of, verified
from tests.matrices.site import Place

pytestmark = pytest.mark.requirement("REQ-01")

Name = tuple[str, str, str, str]


@dataclass(frozen=True)
class Alteration:
    """One column of one row, the value it gets, and how verification has to name it: table, record, column, event."""

    row: models.Model
    column: str
    value: Any
    expected: Name

    def accused(self) -> set[tuple[str, str]]:
        """Return the records that may be named: the one altered, and the one it would then be."""
        table, record, *_ = self.expected
        return {(table, record), (table, str(self.value)), (self.row._meta.db_table, str(self.value))}


@pytest.fixture(scope="module", autouse=True)
def unguarded(populated: Place) -> None:
    take_the_guards_away()


@pytest.fixture(autouse=True)
def every(monkeypatch: pytest.MonkeyPatch) -> None:
    every_problem(monkeypatch)


def alterations(row: models.Model, columns: Iterator[str] | tuple[str, ...], *, emptied: bool) -> Iterator[tuple[str, Any]]:
    """Yield (column, another value) of a row."""
    fields = {str(field.column): field for field in row._meta.concrete_fields}
    stored = values_of(row)
    for column in columns:
        value = another(fields[column], stored[column], emptied=emptied)
        if value != stored[column]:
            yield column, value


def all_columns(model: type[models.Model]) -> tuple[str, ...]:
    return tuple(str(field.column) for field in model._meta.concrete_fields)


def written_once(model: type[models.Model]) -> Iterator[Alteration]:
    """Alterations of a row that has an entry of its own, and of one that lies under a root with others."""
    table, key = model._meta.db_table, str(model._meta.pk.column)
    rows = list(models.QuerySet(model).select_related("event").order_by("pk"))
    lone = next(row for row in rows if not together(row))
    many = next(row for row in rows if together(row))
    for emptied in (False, True):
        for column, value in alterations(lone, all_columns(model), emptied=emptied):
            yield Alteration(lone, column, value, (table, str(lone.pk), column, str(lone.event_id)))
    for column, value in alterations(many, all_columns(model), emptied=False):
        record = str(value) if column == key else str(many.pk)
        named = column if column == "event_id" else ""
        yield Alteration(many, column, value, (table, record, named, str(many.event_id)))


def together(row: Any) -> bool:
    return any(is_bulk(entry) and entry["table"] == row._meta.db_table for entry in row.event.rows)


def histories(history: type[models.Model]) -> Iterator[Alteration]:
    """Alterations of the last row of some object's history, and of the first."""
    subject = subject_model(history)
    table, key = subject._meta.db_table, subject._meta.pk.attname
    rows = models.QuerySet(history).order_by("history_id")
    last = rows.filter(history_type="~").last()
    first = rows.filter(**{key: getattr(last, key)}).first()
    for row, emptied in ((last, False), (first, False), (last, True)):
        for column, value in alterations(row, all_columns(history), emptied=emptied):
            yield Alteration(row, column, value, (table, str(getattr(row, key)), column, str(row.event_id)))


def live(model: type[models.Model]) -> Iterator[Alteration]:
    """Alterations of a live row; operational columns are no part of the record."""
    row = models.QuerySet(model).order_by("pk").last()
    said = models.QuerySet(history_model(model)).filter(**{model._meta.pk.attname: row.pk}).order_by("history_id").last()
    for emptied in (False, True):
        for column, value in alterations(row, tracked_columns(model), emptied=emptied):
            named = "" if column == model._meta.pk.column else column
            yield Alteration(row, column, value, (model._meta.db_table, str(row.pk), named, str(said.event_id)))


def rounds(tables: list[list[Alteration]]) -> Iterator[list[Alteration]]:
    """Yield the first alteration of each table, then the second of each, ..."""
    for part in zip_longest(*tables):
        yield [one for one in part if one is not None]


def unnamed(wanted: list[Alteration], found: tuple[Problem, ...]) -> list[str]:
    """Return what was altered and not named, and what was named and not altered."""
    named = {(one.table, one.record_id, one.field, one.event_id) for one in found}
    missed = [f"not named: {one.expected}" for one in wanted if one.expected not in named]
    allowed = {place for one in wanted for place in one.accused()}
    return missed + [f"wrongly named: {one}" for one in found if (one.table, one.record_id) not in allowed]


@pytest.mark.parametrize("kind", ["written once", "history", "live"])
def test_every_column_of_every_record_is_named_when_altered(kind: str) -> None:
    tables = {
        "written once": lambda: [list(written_once(model)) for model in models_of(TableClass.WRITE_ONCE)],
        "history": lambda: [list(histories(model)) for model in models_of(TableClass.HISTORY)],
        "live": lambda: [list(live(model)) for model in models_of(TableClass.VERSIONED)],
    }[kind]()
    assert all(tables), "a table has no row to alter"
    wrong = []
    for part in rounds(tables):
        with undone():
            for one in part:
                set_columns(one.row, {one.column: one.value})
            wrong += unnamed(part, verified().problems)
    assert wrong == []
    assert verified().ok, "the alterations were not taken back"


def test_every_column_of_every_kind_of_event_is_named_when_altered() -> None:
    kinds: dict[tuple[bool, ...], list[Event]] = {}
    for entry in models.QuerySet(LedgerEntry).select_related("event").order_by("index"):
        rows = entry.event.rows
        shape = (bool(rows), any(map(is_bulk, rows)), any(row.get("history_id") for row in rows), bool(entry.event.payload))
        kinds.setdefault(shape, []).append(entry.event)
    assert len(kinds) >= 4, "with history, with a row, with many, with a payload alone"
    columns = all_columns(Event)
    wrong = []
    for events in kinds.values():
        # One event a column, so that each is altered in one place only.
        chosen = {column: events[place % len(events)] for place, column in enumerate(columns)}
        if len(events) < len(columns):
            parts = [{column: event} for column, event in chosen.items()]
        else:
            parts = [chosen]
        for part in parts:
            wrong += events_unnamed(part)
    assert wrong == []
    assert verified().ok


def events_unnamed(part: dict[str, Event]) -> list[str]:
    """Alter one column of each event, and return what was not named."""
    wrong, altered = [], {}
    with undone():
        for column, event in part.items():
            for _, value in alterations(event, (column,), emptied=False):
                set_columns(event, {column: value})
                altered[str(event.pk)] = column
        found = verified().problems
    for key, column in altered.items():
        fields = {one.field.split(".")[0] for one in found if (one.table, one.record_id) == ("compliance_event", key)}
        if column in ("payload", "salts"):
            told = fields == {"payload"}
        else:
            # Where nothing else in the record repeats a value, the event alone can be named.
            told = fields == {column} or (column in ("occurred_at", "subject_id") and fields == {""})
        if not told:
            wrong.append(f"{column} of event {key}: {fields or 'not named'}")
    return wrong
