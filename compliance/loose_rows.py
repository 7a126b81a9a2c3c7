"""Rows that no event names, and rows that an event names and that are not there: often the same ones.

A row whose key or event was altered looks like one row too many and another too few. Its digest tells: put back what
the event says of it, and the digest holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import models

from compliance.events import record_identity
from compliance.ledger.canonical import Json
from compliance.problems import Problem
from compliance.recorded_history import HistoryRow
from compliance.registry import key_column, subject_model
from compliance.rows import MARK_LENGTH, row_digest, row_values

# Pairs are tried, not looked up: where more is loose than this, each is named for itself.
MOST = 300


@dataclass(frozen=True)
class Gone:
    """A row that an event names by itself, and that is not there under that name. ``problem`` says so."""

    entry: Mapping[str, Any]
    event_id: str
    columns: tuple[str, ...]
    problem: Problem


@dataclass(frozen=True)
class Short:
    """Rows of one event and table under one root, fewer than the event says. ``problem`` says so."""

    entry: Mapping[str, Any]
    event_id: str
    columns: tuple[str, ...]
    digests: Mapping[str, str]
    problem: Problem


@dataclass
class LooseRows:
    """What has not found its other half so far. ``explained`` are ids of events that stand under another id now."""

    strays: list[tuple[models.Model, Problem]] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    short: list[Short] = field(default_factory=list)
    explained: set[object] = field(default_factory=set)

    def problems(self) -> Iterator[Problem]:
        """Yield one problem for each pair, naming the column that was altered, then one for each that stays alone."""
        strays = dict(enumerate(self.strays))
        tried = list(strays)[:MOST]
        for gone in self.gone[:MOST]:
            for number in [one for one in tried if one in strays]:
                altered = _key_altered(strays[number][0], gone)
                if altered:
                    del strays[number]
                    yield _altered(gone.problem, str(gone.entry["table"]), str(gone.entry["id"]), altered)
                    break
            else:
                yield gone.problem
        for gone in self.gone[MOST:]:
            yield gone.problem
        for short in self.short:
            moved = _moved_away(short, {number: strays[number][0] for number in tried if number in strays})
            for number in moved:
                row, _ = strays.pop(number)
                yield _altered(short.problem, str(short.entry["table"]), str(row.pk), ["event_id"])
            if len(short.digests) + len(moved) < short.entry["count"]:
                yield short.problem
        for _, problem in strays.values():
            yield problem


def _altered(problem: Problem, table: str, key: str, columns: list[str]) -> Problem:
    where = problem.message[problem.message.rindex(" (") :]
    message = f"{table} {key}: {' and '.join(columns)} {'was' if len(columns) == 1 else 'were'} altered{where}"
    return replace(problem, message=message, record_id=key, field=columns[0])


def _key_altered(row: models.Model, gone: Gone) -> list[str]:
    """Return the key columns by which a stray row differs from one that is gone; none if it is not that row."""
    entry, name = gone.entry, record_identity(row)
    if name["table"] != entry["table"] or (name["history_id"] is None) != (entry["history_id"] is None):
        return []
    told = {"event_id": gone.event_id}
    if isinstance(row, HistoryRow):
        told |= {key_column(subject_model(type(row))): entry["id"], key_column(type(row)): entry["history_id"]}
    else:
        told[key_column(type(row))] = entry["id"]
    values = row_values(row, columns=gone.columns)
    restored = {**values, **{column: _like(values[column], text) for column, text in told.items()}}
    if row_digest(restored) != entry["digest"]:
        return []
    return sorted(column for column in told if restored[column] != values[column])


def _like(value: Json, text: str) -> Json:
    """Return a key as text in the form that the row's own has."""
    return int(text) if isinstance(value, int) and text.lstrip("-").isdigit() else text


def _moved_away(short: Short, strays: Mapping[int, models.Model]) -> list[int]:
    """Return the stray rows that have a mark among those under one root, once the event's id is put back."""
    left = Counter(marks(short.entry["marks"]))
    left.subtract(digest[:MARK_LENGTH] for digest in short.digests.values())
    found = []
    for number, row in strays.items():
        if row._meta.db_table != short.entry["table"]:
            continue
        digest = row_digest({**row_values(row, columns=short.columns), "event_id": short.event_id})
        if left[digest[:MARK_LENGTH]] > 0:
            left[digest[:MARK_LENGTH]] -= 1
            found.append(number)
    return found


def marks(text: str) -> list[str]:
    """Return the marks of rows under one root, one by one."""
    return [text[place : place + MARK_LENGTH] for place in range(0, len(text), MARK_LENGTH)]
