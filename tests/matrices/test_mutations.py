"""Every column of every table that the record watches, altered by the database's owner: found, and named (REQ-01).

One column of each table at a time is altered, in all tables at once, and taken back. Each alteration has to be named:
its table, its record, its column, its event; and nothing else may be accused.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pytest
from django.db import connection, models

from compliance.events import is_bulk
from compliance.models import Event, LedgerEntry, RowShape, Subtree
from compliance.problems import Problem
from compliance.registry import TableClass, history_model, models_of, subject_model, tracked_columns
from tests.matrices.altering import (
    another,
    every_problem,
    set_columns,
    take_the_guards_away,
    undone,
    values_of,
    verified,
)
from tests.matrices.site import Place

pytestmark = pytest.mark.requirement("REQ-01")

Name = tuple[str, str, str, str]
# What the threat model says of these: a surrogate key that nothing refers to.
MEANINGLESS = frozenset({("compliance_subtree", "id")})
# The time of sealing is bound by the times around it alone.
FAR = {"sealed_at": datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC), "index": 10**12}


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


def alterations(row: models.Model, columns: Iterable[str], *, emptied: bool) -> Iterator[tuple[str, Any]]:
    """Yield (column, another value) of a row."""
    fields = {str(field.column): field for field in row._meta.concrete_fields}
    stored = values_of(row)
    for column in columns:
        value = another(fields[column], stored[column], emptied=emptied)
        if value != stored[column]:
            yield column, value


def all_columns(model: type[models.Model]) -> tuple[str, ...]:
    return tuple(str(field.column) for field in model._meta.concrete_fields)


def written_once(model: type[models.Model]) -> list[Iterator[Alteration]]:
    """Alterations of rows that have an entry of their own, emptyings of others, and of rows that lie under a root."""
    table, key = model._meta.db_table, str(model._meta.pk.column)
    rows = list(models.QuerySet(model).select_related("event").order_by("pk"))
    lone = [row for row in rows if not together(row)]
    many = [row for row in rows if together(row)]

    def alone(row: Any, columns: list[str], *, emptied: bool) -> Iterator[Alteration]:
        for column, value in alterations(row, columns, emptied=emptied):
            yield Alteration(row, column, value, (table, str(row.pk), column, str(row.event_id)))

    def under_a_root(row: Any, columns: list[str]) -> Iterator[Alteration]:
        for column, value in alterations(row, columns, emptied=False):
            record = str(value) if column == key else str(row.pk)
            named = column if column == "event_id" else ""
            yield Alteration(row, column, value, (table, record, named, str(row.event_id)))

    columns = all_columns(model)
    return [
        *(alone(row, part, emptied=False) for row, part in dealt(lone[0::2], columns)),
        *(alone(row, part, emptied=True) for row, part in dealt(lone[1::2], columns)),
        *(under_a_root(row, part) for row, part in dealt(many, columns)),
    ]


def dealt(rows: list[Any], columns: tuple[str, ...]) -> list[tuple[Any, list[str]]]:
    """Deal the columns to the rows in turn: one row is altered in one column at a time, a table in several."""
    assert rows, "a table has no row to alter"
    return [(row, list(columns[place :: len(rows)])) for place, row in enumerate(rows)]


def together(row: Any) -> bool:
    return any(is_bulk(entry) and entry["table"] == row._meta.db_table for entry in row.event.rows)


def histories(history: type[models.Model]) -> list[Iterator[Alteration]]:
    """Alterations of the last rows of some objects' histories, of others' first, and emptyings of those ones' last."""
    subject = subject_model(history)
    table, key = subject._meta.db_table, subject._meta.pk.attname
    rows = models.QuerySet(history).order_by("history_id")
    stepped = list(rows.filter(history_type="~"))
    last, other = stepped[0::2], stepped[1::2]
    first = [rows.filter(**{key: getattr(row, key)}).first() for row in other]

    def of(row: Any, columns: list[str], *, emptied: bool) -> Iterator[Alteration]:
        for column, value in alterations(row, columns, emptied=emptied):
            yield Alteration(row, column, value, (table, str(getattr(row, key)), column, str(row.event_id)))

    columns = all_columns(history)
    return [
        *(of(row, part, emptied=False) for row, part in dealt(last, columns)),
        *(of(row, part, emptied=False) for row, part in dealt(first, columns)),
        *(of(row, part, emptied=True) for row, part in dealt(other, columns)),
    ]


def live(model: type[models.Model]) -> list[Iterator[Alteration]]:
    """Alterations of some live rows and emptyings of others; operational columns are no part of the record."""
    history = models.QuerySet(history_model(model)).order_by("history_id")
    attname = model._meta.pk.attname
    rows = list(models.QuerySet(model).order_by("pk"))

    def of(row: models.Model, columns: list[str], *, emptied: bool) -> Iterator[Alteration]:
        said = history.filter(**{attname: row.pk}).last()
        for column, value in alterations(row, columns, emptied=emptied):
            named = "" if column == model._meta.pk.column else column
            yield Alteration(row, column, value, (model._meta.db_table, str(row.pk), named, str(said.event_id)))

    columns = tracked_columns(model)
    return [
        *(of(row, part, emptied=False) for row, part in dealt(rows[0::2], columns)),
        *(of(row, part, emptied=True) for row, part in dealt(rows[1::2], columns)),
    ]


def rounds(rows: list[Iterator[Alteration]]) -> Iterator[list[Alteration]]:
    """Yield the first alteration of each row, then the second of each, ..."""
    for part in zip_longest(*rows):
        yield [one for one in part if one is not None]


def sample(rows: list[Iterator[Alteration]]) -> list[Iterator[Alteration]]:
    """Return, of all alterations, one for each type of column and value; the others were made on SQLite."""
    seen = set()
    kept: list[Iterator[Alteration]] = []
    for number, row in enumerate(rows):
        of_row = []
        for one in row:
            (field,) = [field for field in one.row._meta.concrete_fields if field.column == one.column]
            shape = (number % 3, type(field), field.primary_key, type(one.value), one.column == "event_id")
            if shape not in seen:
                seen.add(shape)
                of_row.append(one)
        kept.append(iter(of_row))
    return kept


def unnamed(wanted: list[Alteration], found: tuple[Problem, ...]) -> list[str]:
    """Return what was altered and not named, and what was named and not altered."""
    named = {(one.table, one.record_id, one.field, one.event_id) for one in found}
    missed = [f"not named: {one.expected}" for one in wanted if one.expected not in named]
    allowed = {place for one in wanted for place in one.accused()}
    return missed + [f"wrongly named: {one}" for one in found if (one.table, one.record_id) not in allowed]


WAYS = {
    "written once": (written_once, TableClass.WRITE_ONCE),
    "history": (histories, TableClass.HISTORY),
    "live": (live, TableClass.VERSIONED),
}


@pytest.mark.parametrize("kind", list(WAYS))
def test_every_column_of_every_record_is_named_when_altered(kind: str) -> None:
    way, tables = WAYS[kind]
    rows = [row for model in models_of(tables) for row in way(model)]
    altered: set[tuple[str, str]] = set()
    wrong = []
    for part in rounds(rows if connection.vendor == "sqlite" else sample(rows)):
        with undone():
            for one in part:
                set_columns(one.row, {one.column: one.value})
                altered.add((one.row._meta.db_table, one.column))
            wrong += unnamed(part, verified().problems)
    assert wrong == []
    assert verified().ok, "the alterations were not taken back"
    kept = tracked_columns if tables is TableClass.VERSIONED else all_columns
    every = {(model._meta.db_table, column) for model in models_of(tables) for column in kept(model)}
    assert altered == every or connection.vendor != "sqlite"


def test_every_column_of_every_kind_of_event_is_named_when_altered() -> None:
    kinds: dict[tuple[bool, ...], list[Event]] = {}
    for entry in models.QuerySet(LedgerEntry).select_related("event").order_by("index"):
        rows = entry.event.rows
        has_history = any(row.get("history_id") for row in rows)
        shape = (bool(rows), any(map(is_bulk, rows)), has_history, bool(entry.event.payload))
        kinds.setdefault(shape, []).append(entry.event)
    assert len(kinds) >= 4, "with history, with a row, with many, with a payload alone"
    wrong = []
    for events in list(kinds.values())[: None if connection.vendor == "sqlite" else 2]:
        columns = list(all_columns(Event))
        while columns:
            # Each event in one column only; the next round takes the columns that are left.
            part = dict(zip(columns, events, strict=False))
            wrong += events_unnamed(part)
            columns = columns[len(part) :]
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
        wanted = "payload" if column == "salts" else column
        if wanted not in fields and not ("" in fields and unique_to(part[column], column)):
            wrong.append(f"{column} of event {key}: {fields or 'not named'}")
    return wrong


def unique_to(event: Event, column: str) -> bool:
    """Tell whether the record holds this value of an event nowhere else: then the event alone can be named."""
    with_history = any(row.get("history_id") for row in event.rows)
    if column in ("reason", "txid", "occurred_at", "actor_id", "actor_name", "actor_role") and with_history:
        return False
    others = models.QuerySet(Event).exclude(pk=event.pk)
    return not others.filter(**{column: getattr(event, column)}).exists()


def test_every_column_of_the_ledgers_own_tables_is_named_when_altered() -> None:
    middle = models.QuerySet(LedgerEntry).get(index=100)
    subtree = models.QuerySet(Subtree).get()
    shape = models.QuerySet(RowShape).order_by("pk").first()
    wrong = []
    for row in (middle, subtree, shape):
        for column, value in alterations(row, all_columns(type(row)), emptied=False):
            if (row._meta.db_table, column) in MEANINGLESS:
                continue
            with undone():
                set_columns(row, {column: FAR.get(column, value)})
                found = verified().problems
            table, names = row._meta.db_table, {str(row.pk), str(value), f"{subtree.level}/{subtree.index}"}
            named = [one for one in found if one.table == table]
            accused = {one.table for one in found} - {table, "checkpoint"}
            if accused or not any(one.record_id in names for one in named):
                wrong.append(f"{table}.{column}: {[one.message for one in found]}")
    assert wrong == []
