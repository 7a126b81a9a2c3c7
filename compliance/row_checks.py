"""Every history row and write-once row against the event that it names, and every event against the rows it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from compliance.events import is_bulk, record_identity
from compliance.ledger import merkle
from compliance.models import Event
from compliance.problems import Damaged, Problem, read_all
from compliance.registry import recorded_models
from compliance.rows import MARK_LENGTH, altered_field, row_digest, row_values
from compliance.shapes import altered_shapes, known_shapes

Identity = tuple[str, str, str | None]


@dataclass
class _Expected:
    """What one event says of its rows, and what has been found of them."""

    index: int | None
    event: Event
    single: dict[Identity, dict[str, Any]] = field(default_factory=dict)
    bulk: dict[str, dict[str, Any]] = field(default_factory=dict)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)

    def problem(self, message: str, *, table: str, record_id: str = "", altered: str = "") -> Problem:
        where = f"event {self.index}" if self.index is not None else "an unsealed event"
        return Problem(
            message=f"{message} ({where}, {self.event.kind}, {self.event.pk})",
            event_index=self.index,
            event_id=str(self.event.pk),
            table=table,
            record_id=record_id,
            field=altered,
        )


def check_rows(events: Sequence[tuple[int | None, Event]]) -> Iterator[Problem | int]:
    """Yield the problems of the rows of some events, then the number of rows that were read."""
    expected: dict[Any, _Expected] = {}
    for index, event in events:
        try:
            expected[event.pk] = _expect(index, event)
        except (KeyError, TypeError, AttributeError):
            message = f"event {event.pk} ({event.kind}): what it says of its rows cannot be read"
            yield Problem(message, event_index=index, event_id=str(event.pk))
    count = 0
    shapes = known_shapes(recorded_models())
    for model in recorded_models():
        rows: models.QuerySet[Any] = models.QuerySet(model)
        rows = rows.filter(event_id__in=list(expected)).order_by("pk")
        for row in read_all(rows):
            count += 1
            if isinstance(row, Damaged):
                # Its event may be unreadable too; the event that named it reports it missing, in its place.
                yield Problem(f"{model._meta.db_table} {row.key}: its stored bytes cannot be read")
                continue
            yield from _check_row(expected[row.event_id], row, shapes)
    for one in expected.values():
        yield from _missing(one)
        yield from _check_bulk(one)
    yield count


def unexplained_rows() -> Iterator[Problem]:
    """Yield the rows whose event is not in the record at all."""
    known: models.QuerySet[Event] = models.QuerySet(Event).filter(pk=models.OuterRef("event_id"))
    for model in recorded_models():
        rows: models.QuerySet[Any] = models.QuerySet(model)
        for row in read_all(rows.filter(~models.Exists(known)).order_by("pk")):
            table = model._meta.db_table
            key = row.key if isinstance(row, Damaged) else row.pk
            yield Problem(f"{table} {key}: its event is not in the record", table=table, record_id=str(key))


def shape_problems() -> Iterator[Problem]:
    """Yield the kept shapes of rows that are not what their names say."""
    for shape in altered_shapes():
        table = shape._meta.db_table
        yield Problem(f"{table} {shape.pk}: the columns it lists were altered", table=table, record_id=str(shape.pk))


def _expect(index: int | None, event: Event) -> _Expected:
    expected = _Expected(index, event)
    for entry in event.rows:
        if not isinstance(entry["shape"], str):
            raise TypeError(entry)
        if is_bulk(entry):
            expected.bulk[entry["table"]] = entry
        else:
            expected.single[(entry["table"], entry["id"], entry["history_id"])] = entry
    return expected


def _check_row(expected: _Expected, row: models.Model, shapes: Mapping[str, tuple[str, ...]]) -> Iterable[Problem]:
    name = record_identity(row)
    table, key, history = str(name["table"]), str(name["id"]), name["history_id"]
    single = expected.single.pop((table, key, None if history is None else str(history)), None)
    bulk = expected.bulk.get(table) if history is None else None
    entry = single or bulk
    if entry is None:
        return (expected.problem(f"{table} {key}: its event does not name it", table=table, record_id=key),)
    try:
        values = row_values(row, columns=shapes[entry["shape"]])
    except KeyError as missing:
        message = f"{table} {key}: its digest covers columns that are not known any more ({missing})"
        return (expected.problem(message, table=table, record_id=key),)
    digest = row_digest(values)
    if single is None:
        expected.digests.setdefault(table, {})[key] = digest
        return ()
    if digest == single["digest"]:
        return ()
    altered = altered_field(values, single["marks"])
    what = f"{altered} was altered" if altered else "it was altered"
    return (expected.problem(f"{table} {key}: {what}", table=table, record_id=key, altered=altered),)


def _missing(expected: _Expected) -> Iterator[Problem]:
    for table, key, history in expected.single:
        what = "its row" if history is None else f"its history row {history}"
        yield expected.problem(f"{table} {key}: {what} is missing or unreadable", table=table, record_id=key)


def _check_bulk(expected: _Expected) -> Iterator[Problem]:
    for table, entry in expected.bulk.items():
        digests = expected.digests.get(table, {})
        if len(digests) != entry["count"]:
            message = f"{table}: {len(digests)} rows of {entry['label']!r}, and the event says {entry['count']}"
            yield expected.problem(message, table=table)
        elif merkle.root(sorted(bytes.fromhex(digest) for digest in digests.values())).hex() != entry["root"]:
            key = _altered_row(digests, entry["marks"])
            message = f"{table} {key}: it was altered" if key else f"{table}: rows of {entry['label']!r} were altered"
            yield expected.problem(message, table=table, record_id=key)


def _altered_row(digests: dict[str, str], marks: str) -> str:
    for place, key in enumerate(sorted(digests)):
        if not digests[key].startswith(marks[place * MARK_LENGTH : (place + 1) * MARK_LENGTH]):
            return key
    return ""
