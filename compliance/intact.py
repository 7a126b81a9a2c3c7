"""Tells quickly that a stretch of the ledger is as it was sealed, with its rows; of any other it tells nothing.

It reads plain values instead of model instances, and of the tables only those that the events name. What is not intact
is read again by ``ledger_walk`` and ``row_checks``, which name what was altered.
"""

from __future__ import annotations

import datetime
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from compliance.events import document_columns, document_reader, is_bulk, require_readable
from compliance.kinds import REDACTED
from compliance.ledger import merkle
from compliance.ledger.canonical import Json, NotCanonical
from compliance.ledger.commitments import commitment, leaf_hash
from compliance.models import Event, LedgerEntry
from compliance.problems import DAMAGED
from compliance.recorded_history import HistoryRow
from compliance.registry import key_column, recorded_models, subject_model
from compliance.rows import row_digest, row_reader, stored_column, stored_columns
from compliance.shapes import current_columns, known_shapes

PLACE = ("index", "leaf_hash", "link_hash")
UNREADABLE = (NotCanonical, KeyError, *DAMAGED)

Model = type[models.Model]
Moment = datetime.datetime


@dataclass
class Stretch:
    """A stretch of the ledger that is intact in itself; whether it follows what is before it is not judged here.

    ``links`` holds (leaf, link) of its places, ``times`` (index, time of sealing, time of the event), ``speaking`` the
    events that redact or of which a payload field is gone, and ``rows`` how many rows were read, by label of the model.
    """

    links: list[tuple[bytes, str]] = field(default_factory=list)
    times: list[tuple[int, Moment, Moment]] = field(default_factory=list)
    speaking: list[tuple[int, Event]] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)


class Reader:
    """Reads stretches; it knows the tables of the record and the shapes of their rows as they were when it was made."""

    def __init__(self) -> None:
        recorded = recorded_models()
        self._shapes = known_shapes(recorded)
        self._models = {_table(model): model for model in recorded}

    def model_of(self, entry: Mapping[str, Any]) -> Model:
        """Return the model of the rows that an event's entry names. Raises KeyError where there is none."""
        return self._models[(entry["table"], not is_bulk(entry) and entry["history_id"] is not None)]

    def stretch(self, start: int, stop: int) -> Stretch | None:
        """Return the places from ``start`` up to ``stop`` if all are there, fit their events, and these their rows."""
        entries: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
        entries = entries.filter(index__range=(start, stop - 1)).order_by("index")
        found, rows = Stretch(), _Rows(self._shapes)
        try:
            for expected, (index, leaf, link, sealed_at, occurred_at, event) in enumerate(_places(entries), start):
                if index != expected or sealed_at is None or not _fits(event, leaf):
                    return None
                found.links.append((bytes.fromhex(leaf), link))
                found.times.append((index, sealed_at, occurred_at))
                if event["kind"] == REDACTED or len(event["payload"]) < len(event["commitments"]):
                    stored = {**event, "id": uuid.UUID(event["id"]), "occurred_at": occurred_at}
                    found.speaking.append((index, Event(**stored)))
                for entry in event["rows"]:
                    require_readable(entry)
                    rows.expect(event["id"], self.model_of(entry), entry)
            whole = len(found.links) == stop - start and rows.read()
        except UNREADABLE:
            return None
        found.rows = rows.counts
        return found if whole else None


def _table(model: Model) -> tuple[str, bool]:
    """Return the table under which events name a model's rows, and whether these are its history."""
    history = issubclass(model, HistoryRow)
    return (subject_model(model) if history else model)._meta.db_table, history


def _places(
    entries: models.QuerySet[LedgerEntry],
) -> Iterator[tuple[int, str, str, Moment | None, Moment, dict[str, Any]]]:
    """Yield (index, leaf, link, time of sealing, time of the event, the event as kits hold it)."""
    read = document_reader()
    sealing = stored_column(LedgerEntry._meta.get_field("sealed_at"))
    for index, leaf, link, sealed, *values in entries.values_list(*PLACE, sealing, *document_columns("event__")):
        event = read(values)
        sealed_at = Moment.fromisoformat(sealed) if isinstance(sealed, str) else sealed
        yield index, leaf, link, sealed_at, Moment.fromisoformat(event["occurred_at"]), event


def _fits(event: Mapping[str, Any], leaf: str) -> bool:
    """Tell whether an event hashes to its leaf, and what is there of its payload to its commitments."""
    payload, salts, commitments = event["payload"], event["salts"], event["commitments"]
    if leaf_hash(event).hex() != leaf or payload.keys() != salts.keys():
        return False
    for name, value in payload.items():
        if commitment(name=name, value=value, salt=salts[name]) != commitments[name]:
            return False
    return True


class _Rows:
    """The rows that some events name, to be compared with those that are stored with these events."""

    def __init__(self, shapes: Mapping[str, tuple[str, ...]]) -> None:
        self.counts: Counter[str] = Counter()
        self._shapes = shapes
        self._events: dict[Model, set[str]] = {}
        self._single: dict[tuple[str, Model, str, str | None], Mapping[str, Any]] = {}
        self._bulk: dict[tuple[str, Model], Mapping[str, Any]] = {}
        self._digests: dict[tuple[str, Model], list[bytes]] = {}

    def expect(self, event_id: str, model: Model, entry: Mapping[str, Any]) -> None:
        """Take what an event says of its rows."""
        self._events.setdefault(model, set()).add(event_id)
        if is_bulk(entry):
            self._bulk[(event_id, model)] = entry
        else:
            self._single[(event_id, model, entry["id"], entry["history_id"])] = entry

    def read(self) -> bool:
        """Count the stored rows by their model; return whether they are those expected, and no others."""
        for model, events in self._events.items():
            rows: models.QuerySet[Any] = models.QuerySet(model)
            stored = rows.filter(event_id__in=list(events)).values_list(*stored_columns(model))
            if not self._are_expected(model, map(row_reader(model), stored)):
                return False
        return not self._single and all(
            merkle.root(sorted(self._digests.get(where, []))).hex() == entry["root"]
            for where, entry in self._bulk.items()
        )

    def _are_expected(self, model: Model, rows: Iterable[dict[str, Json]]) -> bool:
        history = key_column(model) if issubclass(model, HistoryRow) else None
        key = key_column(subject_model(model) if history else model)
        columns = current_columns(model)
        for values in rows:
            self.counts[model._meta.label] += 1
            where = (str(values["event_id"]), model)
            name = (*where, str(values[key]), None if history is None else str(values[history]))
            entry = self._single.pop(name, None) or self._bulk.get(where)
            if entry is None:
                return False
            wanted = self._shapes[entry["shape"]]
            digest = row_digest(values if wanted == columns else {column: values[column] for column in wanted})
            if is_bulk(entry):
                self._digests.setdefault(where, []).append(bytes.fromhex(digest))
            elif digest != entry["digest"]:
                return False
        return True
