"""Every history row and write-once row against the event that it names, and every event against the rows it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from compliance.events import is_bulk, record_identity, require_readable
from compliance.ledger import merkle
from compliance.loose_rows import Gone, LooseRows, Short, marks
from compliance.models import Event, LedgerEntry, RowShape
from compliance.problems import Damaged, Problem, read_all
from compliance.registry import recorded_models
from compliance.rows import MARK_LENGTH, altered_field, row_digest, row_values
from compliance.shapes import altered_shapes, current_shape, known_shapes

UNNAMED = "its event does not name it"
CHUNK = 500

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


def check_rows(events: Sequence[tuple[int | None, Event]], loose: LooseRows) -> Iterator[Problem | int]:
    """Yield the problems of the rows of some events, then the number of rows that were read.

    Rows that no event names, and rows that are not there, go to ``loose``: together they may be one altered row.
    """
    expected: dict[Any, _Expected] = {}
    for index, event in events:
        try:
            expected[event.pk] = _expect(index, event)
        except (KeyError, TypeError, AttributeError):
            message = f"event {event.pk} ({event.kind}): what it says of its rows cannot be read"
            yield Problem(message, event_index=index, event_id=str(event.pk), table=Event._meta.db_table)
    count = 0
    shapes = known_shapes(recorded_models())
    for model in recorded_models():
        rows: models.QuerySet[Any] = models.QuerySet(model)
        rows = rows.filter(event_id__in=list(expected)).order_by("pk")
        for row in read_all(rows):
            count += 1
            if isinstance(row, Damaged):
                # Its event may be unreadable too; the event that named it reports it missing, in its place.
                yield _unreadable(model, row)
                continue
            yield from _check_row(expected[row.event_id], row, shapes, loose)
    for one in expected.values():
        yield from _missing(one, shapes, loose)
        yield from _check_bulk(one, shapes, loose)
    yield count


def sealed_rows(model: type[models.Model], places: range) -> models.QuerySet[Any]:
    """Return the rows of a model whose events were sealed at ``places``."""
    entries: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
    entries = entries.filter(index__range=(places[0], places[-1]))
    return models.QuerySet(model).filter(event_id__in=entries.values("event_id"))


def unnamed_rows(model: type[models.Model], places: range, loose: LooseRows) -> Iterator[Problem]:
    """Hand ``loose`` the rows of a model whose events, intact and sealed at ``places``, do not name its table."""
    for start in range(places.start, places.stop, CHUNK):
        rows = sealed_rows(model, places[start - places.start :][:CHUNK]).select_related("event__entry").order_by("pk")
        for row in read_all(rows):
            if isinstance(row, Damaged):
                yield _unreadable(model, row)
                continue
            expected, name = _expect(row.event.entry.index, row.event), record_identity(row)
            table, key, history = str(name["table"]), str(name["id"]), name["history_id"]
            single = any(one == table and (of is None) == (history is None) for one, _, of in expected.single)
            if not single and (history is not None or table not in expected.bulk):
                problem = expected.problem(f"{table} {key}: {UNNAMED}", table=table, record_id=key)
                loose.strays.append((row, problem))


def unexplained_rows(loose: LooseRows) -> Iterator[Problem]:
    """Hand ``loose`` the rows whose event is not in the record at all; yield those that cannot even be read."""
    known: models.QuerySet[Event] = models.QuerySet(Event).filter(pk=models.OuterRef("event_id"))
    for model in recorded_models():
        rows: models.QuerySet[Any] = models.QuerySet(model)
        for row in read_all(rows.filter(~models.Exists(known)).order_by("pk")):
            table = model._meta.db_table
            key = row.key if isinstance(row, Damaged) else row.pk
            problem = Problem(f"{table} {key}: its event is not in the record", table=table, record_id=str(key))
            if isinstance(row, Damaged):
                yield problem
            elif row.event_id not in loose.explained:
                loose.strays.append((row, problem))


def shape_problems() -> Iterator[Problem]:
    """Yield the kept shapes of rows that are not what their names say, and those of today that are not kept."""
    table = RowShape._meta.db_table
    for shape in altered_shapes():
        yield Problem(f"{table} {shape.pk}: the columns it lists were altered", table=table, record_id=str(shape.pk))
    kept = set(models.QuerySet(RowShape).values_list("pk", flat=True))
    for model in recorded_models():
        wanted = current_shape(model)
        if wanted not in kept:
            message = f"{table} {wanted}: the columns of {model._meta.db_table} are not kept any more"
            yield Problem(message, table=table, record_id=wanted)


def _unreadable(model: type[models.Model], row: Damaged) -> Problem:
    table = model._meta.db_table
    return Problem(f"{table} {row.key}: its stored bytes cannot be read", table=table, record_id=str(row.key))


def _expect(index: int | None, event: Event) -> _Expected:
    expected = _Expected(index, event)
    for entry in event.rows:
        require_readable(entry)
        if is_bulk(entry):
            expected.bulk[entry["table"]] = entry
        else:
            expected.single[(entry["table"], entry["id"], entry["history_id"])] = entry
    return expected


def _check_row(
    expected: _Expected, row: models.Model, shapes: Mapping[str, tuple[str, ...]], loose: LooseRows
) -> Iterable[Problem]:
    name = record_identity(row)
    table, key, history = str(name["table"]), str(name["id"]), name["history_id"]
    single = expected.single.pop((table, key, None if history is None else str(history)), None)
    bulk = expected.bulk.get(table) if history is None else None
    entry = single or bulk
    if entry is None:
        problem = expected.problem(f"{table} {key}: {UNNAMED}", table=table, record_id=key)
        loose.strays.append((row, problem))
        return ()
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


def _missing(expected: _Expected, shapes: Mapping[str, tuple[str, ...]], loose: LooseRows) -> Iterator[Problem]:
    for (table, key, history), entry in expected.single.items():
        what = "its row" if history is None else f"its history row {history}"
        problem = expected.problem(f"{table} {key}: {what} is missing or unreadable", table=table, record_id=key)
        if entry["shape"] in shapes:
            loose.gone.append(Gone(entry, str(expected.event.pk), shapes[entry["shape"]], problem))
        else:
            yield problem


def _check_bulk(expected: _Expected, shapes: Mapping[str, tuple[str, ...]], loose: LooseRows) -> Iterator[Problem]:
    for table, entry in expected.bulk.items():
        digests = expected.digests.get(table, {})
        if merkle.root(sorted(bytes.fromhex(digest) for digest in digests.values())).hex() == entry["root"]:
            continue
        strange = _strange_rows(digests, entry["marks"])
        what = UNNAMED if len(digests) > entry["count"] else "it was altered"
        for key in strange:
            yield expected.problem(f"{table} {key}: {what}", table=table, record_id=key)
        if len(digests) < entry["count"]:
            message = f"{table}: {len(digests)} rows of {entry['label']!r}, and the event says {entry['count']}"
            problem = expected.problem(message, table=table)
            if entry["shape"] in shapes:
                loose.short.append(Short(entry, str(expected.event.pk), shapes[entry["shape"]], digests, problem))
            else:
                yield problem
        elif not strange:
            yield expected.problem(f"{table}: rows of {entry['label']!r} were altered", table=table)


def _strange_rows(digests: Mapping[str, str], known: str) -> list[str]:
    """Return the keys of the rows whose digest has no mark; marks stand in the order of keys that may be altered."""
    left = Counter(marks(known))
    strange = []
    for key in sorted(digests):
        mark = digests[key][:MARK_LENGTH]
        if left[mark]:
            left[mark] -= 1
        else:
            strange.append(key)
    return strange
