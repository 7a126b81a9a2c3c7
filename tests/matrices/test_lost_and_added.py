"""Rows removed, added, swapped, put in another order, and tables emptied by the database's owner: found, and named."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from django.db import models

from compliance.events import is_bulk
from compliance.models import Event, LedgerEntry, RowShape, Subtree
from compliance.problems import Problem
from compliance.recorded_history import HistoryRow
from compliance.registry import TableClass, history_model, models_of, subject_model
from tests.matrices.altering import (
    another,
    every_problem,
    insert,
    name,
    remove,
    run,
    set_columns,
    take_the_guards_away,
    undone,
    values_of,
    verified,
)
from tests.matrices.rows import unique_fields
from tests.matrices.site import Place

pytestmark = pytest.mark.requirement("REQ-01")

Name = tuple[str, str, str]


@pytest.fixture(scope="module", autouse=True)
def unguarded(populated: Place) -> None:
    take_the_guards_away()


@pytest.fixture(autouse=True)
def every(monkeypatch: pytest.MonkeyPatch) -> None:
    every_problem(monkeypatch)


def together(row: Any) -> bool:
    return any(is_bulk(entry) and entry["table"] == row._meta.db_table for entry in row.event.rows)


def recorded() -> Iterator[Any]:
    """Two rows of each table whose rows belong to events: one alone and one of many; of history two of one object."""
    for model in models_of(TableClass.WRITE_ONCE):
        rows = list(models.QuerySet(model).select_related("event").order_by("pk"))
        yield next(row for row in rows if not together(row))
        yield next(row for row in rows if together(row))
    yield from histories()


def pairs() -> Iterator[tuple[Any, Any]]:
    """Two rows of a kind from each table, alone and of many; none that say the same: they would not change places."""
    for model in models_of(TableClass.WRITE_ONCE):
        rows = list(models.QuerySet(model).select_related("event").order_by("pk"))
        yield unlike([row for row in rows if not together(row)])
        one, other = [row for row in rows if together(row)][:2]
        if differ(one, other):
            yield one, other
    for model in models_of(TableClass.VERSIONED):
        yield unlike(list(models.QuerySet(model).order_by("pk")))
    found = list(histories())
    yield from zip(found[::2], found[1::2], strict=True)


def unlike(rows: list[Any]) -> tuple[Any, Any]:
    """Return the first two rows that say different things under their keys."""
    return next(pair for pair in combinations(rows, 2) if differ(*pair))


def differ(one: models.Model, other: models.Model) -> bool:
    """Whether two rows say different things under their keys."""
    key = str(one._meta.pk.column)
    return {**values_of(one), key: other.pk} != values_of(other)


def histories() -> Iterator[Any]:
    for model in models_of(TableClass.HISTORY):
        key = subject_model(model)._meta.pk.attname
        rows = models.QuerySet(model).order_by("history_id")
        last = rows.filter(history_type="~").last()
        yield last
        yield rows.filter(**{key: getattr(last, key)}).first()


def live() -> Iterator[Any]:
    """Two live rows of each versioned table."""
    for model in models_of(TableClass.VERSIONED):
        yield from models.QuerySet(model).order_by("pk")[:2]


def place_of(row: models.Model) -> tuple[str, str]:
    """Return the table and the record that a row is of."""
    if isinstance(row, HistoryRow):
        subject = subject_model(type(row))
        return subject._meta.db_table, str(getattr(row, subject._meta.pk.attname))
    return row._meta.db_table, str(row.pk)


def said_last(row: models.Model) -> str:
    key = row._meta.pk.attname
    history = models.QuerySet(history_model(type(row))).filter(**{key: row.pk})
    return str(history.order_by("history_id").last().event_id)


def missed(wanted: set[Name], found: tuple[Problem, ...]) -> list[str]:
    """Return what is not named by table, record and event, and the records that are named and should not be."""
    named = {(one.table, one.record_id, one.event_id) for one in found}
    allowed = {one[:2] for one in wanted}
    return [f"not named: {one}" for one in wanted - named] + [
        f"wrongly named: {one.message}" for one in found if (one.table, one.record_id) not in allowed
    ]


def test_a_row_that_is_removed_is_named() -> None:
    wanted = set()
    with undone():
        for row in recorded():
            table, record = place_of(row)
            # The key of one row of many stands nowhere else: its table and its event are named.
            many = not isinstance(row, HistoryRow) and together(row)
            wanted.add((table, "" if many else record, str(row.event_id)))
            remove(row)
        assert missed(wanted, verified().problems) == []
    wanted = set()
    with undone():
        for row in list(live()):
            wanted.add((*place_of(row), said_last(row)))
            remove(row)
        assert missed(wanted, verified().problems) == []


def copied(row: models.Model) -> models.Model:
    """Insert a copy of a row that differs in what has to be unique, and return it."""
    unique = unique_fields(type(row))
    values = values_of(row)
    for field in row._meta.concrete_fields:
        if field.name in unique:
            values[str(field.column)] = another(field, values[str(field.column)])
    insert(type(row), values)
    return models.QuerySet(type(row)).get(pk=values[str(row._meta.pk.column)])


def test_a_row_that_is_added_is_named() -> None:
    wanted = set()
    with undone():
        for row in list(recorded()):
            copy = copied(row)
            wanted.add((*place_of(copy), str(row.event_id)))
        assert missed(wanted, verified().problems) == []
    wanted = set()
    with undone():
        for row in list(live()):
            wanted.add((*place_of(copied(row)), ""))
        assert missed(wanted, verified().problems) == []


def test_two_rows_that_changed_places_are_both_named() -> None:
    wanted: set[tuple[str, str]] = set()
    with undone():
        for one, other in list(pairs()):
            wanted |= {place_of(one), place_of(other)}
            swap(one, other, str(one._meta.pk.column))
        found = verified().problems
    named = {(one.table, one.record_id) for one in found}
    assert named == wanted


def swap(one: models.Model, other: models.Model, column: str) -> None:
    """Exchange a column of two rows, past unique constraints."""
    (field,) = [field for field in one._meta.concrete_fields if field.column == column]
    first, second, aside = values_of(one)[column], values_of(other)[column], another(field, values_of(one)[column])
    set_columns(one, {column: aside})
    if field.primary_key:
        moved = models.QuerySet(type(one)).get(pk=aside)
    set_columns(other, {column: first})
    set_columns(moved if field.primary_key else one, {column: second})


@pytest.mark.parametrize("column", ["index", "event_id", "leaf_hash", "link_hash"])
def test_places_of_the_ledger_in_another_order_are_named(column: str) -> None:
    one, other = models.QuerySet(LedgerEntry).filter(index__in=(90, 110)).order_by("index")
    with undone():
        swap(one, other, column)
        found = verified().problems
    named = {one.record_id for one in found if one.table == "compliance_ledgerentry"}
    assert {"90", "110"} <= named
    assert named <= {"90", "91", "110", "111"}
    assert {one.table for one in found} <= {"compliance_ledgerentry", "compliance_subtree", "checkpoint"}


def test_events_that_exchanged_their_times_or_the_order_of_their_rows_are_named() -> None:
    entries = models.QuerySet(LedgerEntry).select_related("event").order_by("index")
    events = [entry.event for entry in entries if any(row.get("history_id") for row in entry.event.rows)]
    several = next(entry.event for entry in entries if len(entry.event.rows) > 1)
    one, other = [event for event in events if event != several][:2]
    with undone():
        swap(one, other, "occurred_at")
        set_columns(several, {"rows": list(reversed(several.rows))})
        named = {(found.record_id, found.field) for found in verified().problems}
    assert named == {(str(one.pk), "occurred_at"), (str(other.pk), "occurred_at"), (str(several.pk), "rows")}


@pytest.mark.parametrize("tables", [TableClass.WRITE_ONCE, TableClass.HISTORY, TableClass.VERSIONED])
def test_every_table_that_is_emptied_is_named(tables: TableClass) -> None:
    with undone():
        for model in models_of(tables):
            run(f"DELETE FROM {name(model._meta.db_table)}")
        named = {found.table for found in verified().problems}
    subjects = {subject_model(model) if tables is TableClass.HISTORY else model for model in models_of(tables)}
    assert named == {model._meta.db_table for model in subjects}


@pytest.mark.parametrize("model", [Event, LedgerEntry, Subtree, RowShape])
def test_a_table_of_the_ledger_that_is_emptied_is_named(model: type[models.Model]) -> None:
    with undone():
        run(f"DELETE FROM {name(model._meta.db_table)}")
        found = verified().problems
    # Without any place, nothing is sealed: what was, the checkpoints say.
    assert ("checkpoint" if model is LedgerEntry else model._meta.db_table) in {one.table for one in found}


def test_a_ledger_table_gains_no_row_unseen() -> None:
    last = models.QuerySet(LedgerEntry).order_by("index").last()
    waiting = models.QuerySet(Event).filter(entry=None).first()
    wrong = {"index": last.index + 1, "event_id": waiting.pk, "leaf_hash": "ab" * 32, "link_hash": "cd" * 32}
    rows = [
        (LedgerEntry, {**values_of(last), **wrong}),
        (LedgerEntry, {**values_of(last), **wrong, "index": -1}),
        (LedgerEntry, {**values_of(last), **wrong, "index": 10**12}),
        (Subtree, {"level": 8, "index": 10**6, "hash": "ab" * 32}),
        (Subtree, {"level": 3, "index": 1, "hash": "ab" * 32}),
        (Subtree, {"level": 30_000, "index": 1, "hash": "ab" * 32}),
        (RowShape, {"id": "0" * 16, "table": "studies_study", "columns": ["id"]}),
    ]
    for model, values in rows:
        with undone():
            insert(model, values)
            named = {found.table for found in verified().problems}
        assert model._meta.db_table in named, values
