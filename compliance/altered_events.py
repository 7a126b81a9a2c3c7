"""Which field of an altered event was altered, and what stood there: told by its leaf hash.

The leaf binds the event as a whole and says nothing of its parts. But much of an event stands elsewhere in the record
too: in the history rows written with it, in those rows' own digests, in other events. Where putting one such value back
makes the leaf hold again, that value was there, and no other.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import models

from compliance.events import CHUNK, bulk_entry, event_document, event_leaf, is_bulk, record_identity, row_entry
from compliance.ledger import chain
from compliance.ledger.canonical import Json, NotCanonical
from compliance.ledger.commitments import commitment, leaf_document, payload_hash, rows_hash
from compliance.models import Event
from compliance.problems import DAMAGED, Damaged, read_all
from compliance.recorded_history import HistoryRow
from compliance.registry import recorded_models
from compliance.rows import utc_text

UNREADABLE = (NotCanonical, KeyError, *DAMAGED)
# Values of other events that are tried for one field.
MOST = 500
SHARED = ("kind", "actor_id", "actor_name", "actor_role", "reason", "subject_type", "project_key", "txid")

Document = dict[str, Any]


class Restorer:
    """Tells altered fields by what the rest of the record says. ``kinds`` are the registered kinds of event."""

    def __init__(self, *, kinds: Sequence[str]) -> None:
        self._kinds = kinds

    def restored(self, event: Event, leaf: str) -> tuple[list[str], Event | None]:
        """Return the fields of ``event`` that were altered and the event as it was; none where nothing tells."""
        try:
            document = event_document(event)
            rows = _rows_of(event)
            hashed = leaf_document(document)
        except UNREADABLE:
            return [], None
        for changes, replaced in self._candidates(event, document, rows):
            try:
                found = chain.leaf_hash({**hashed, **replaced}).hex()
            except UNREADABLE:
                continue
            if found == leaf:
                return sorted(changes), _with(event, changes)
        return [], None

    def _candidates(
        self, event: Event, document: Document, rows: list[models.Model]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Json]]]:
        """Yield (columns put back, as the leaf's document has them)."""
        for row in rows:
            if isinstance(row, HistoryRow):
                yield from _as_history_says(event, row)
        yield {"simulated": not event.simulated}, {"simulated": not event.simulated}
        for name, value in _commitments(event):
            yield {name: value}, {"payload": payload_hash(value)}
        for entries in _row_entries(event, rows):
            yield {"rows": entries}, {"rows": rows_hash(entries)}
        for row in rows:
            identity = str(record_identity(row)["id"])
            yield {"subject_id": identity}, {"subject_id": identity}
            yield from _times(row)
        for kind in self._kinds:
            yield {"kind": kind}, {"kind": kind}
        for field in SHARED:
            for stored in self._values(field):
                yield {field: stored}, {field: stored}
        for subject in self._subjects(event.subject_type):
            yield {"subject_id": subject}, {"subject_id": subject}

    @functools.cache  # noqa: B019  # a restorer lives as long as one verification
    def _values(self, field: str) -> list[Any]:
        return list(models.QuerySet(Event).order_by().values_list(field, flat=True).distinct()[:MOST])

    @functools.cache  # noqa: B019  # as above
    def _subjects(self, subject_type: str) -> list[str]:
        rows: models.QuerySet[Event] = models.QuerySet(Event).filter(subject_type=subject_type).order_by()
        return list(rows.values_list("subject_id", flat=True).distinct()[:MOST])


def other_id(event: Event, wanted: Any, leaf: str) -> Event | None:
    """Return ``event`` under another id if its leaf is then ``leaf``."""
    try:
        found = _with(event, {"id": wanted})
        return found if event_leaf(found).hex() == leaf else None
    except UNREADABLE:
        return None


def _with(event: Event, changes: Mapping[str, Any]) -> Event:
    values = {field.attname: getattr(event, field.attname) for field in Event._meta.concrete_fields}
    return Event(**{**values, **changes})


def _as_history_says(event: Event, row: Any) -> Iterator[tuple[dict[str, Any], dict[str, Json]]]:
    """Yield what a history row repeats of its event: all of it at once, then each by itself."""
    told = {
        "actor_id": row.actor_id,
        "actor_name": row.actor_name,
        "actor_role": row.actor_role,
        "reason": row.reason,
        "occurred_at": row.history_date,
        "txid": row.txid,
    }
    differing = {name: value for name, value in told.items() if getattr(event, name) != value}
    for changes in (differing, *({name: value} for name, value in differing.items())):
        yield changes, {name: utc_text(value) if name == "occurred_at" else value for name, value in changes.items()}


def _times(row: models.Model) -> Iterator[tuple[dict[str, Any], dict[str, Json]]]:
    for field in row._meta.concrete_fields:
        value = field.value_from_object(row)
        if isinstance(field, models.DateTimeField) and value is not None:
            yield {"occurred_at": value}, {"occurred_at": utc_text(value)}


def _commitments(event: Event) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the commitments as payload and salts make them, with and without those of redacted fields."""
    made = {
        name: commitment(name=name, value=event.payload[name], salt=event.salts[name])
        for name in event.payload
        if name in event.salts
    }
    yield "commitments", {**event.commitments, **made}
    yield "commitments", made


def _row_entries(event: Event, rows: list[models.Model]) -> Iterator[list[dict[str, Any]]]:
    """Yield an event's entries as its rows make them anew, with one left out or put in, and with two swapped."""
    entries = [entry for entry in event.rows if isinstance(entry, dict)]
    single = {_identity(entry): entry for entry in map(row_entry, rows)}
    bulk = {str(entry["table"]): entry for entry in entries if is_bulk(entry)}
    anew = []
    for entry in entries:
        if is_bulk(entry):
            table, label = str(entry.get("table")), str(entry.get("label"))
            named = {_identity(one) for one in entries if not is_bulk(one)}
            together = [row for row in rows if row._meta.db_table == table and _identity(row_entry(row)) not in named]
            anew.append(bulk_entry(together, label=label) if together else bulk[table])
        else:
            anew.append(single.get(_identity(entry), entry))
    yield anew
    for place in range(len(entries)):
        yield entries[:place] + entries[place + 1 :]
        for other in range(place):
            swapped = list(entries)
            swapped[place], swapped[other] = swapped[other], swapped[place]
            yield swapped
    unnamed = [single[one] for one in single if one not in {_identity(entry) for entry in entries}]
    for entry in unnamed:
        for place in range(len(entries) + 1):
            yield [*entries[:place], entry, *entries[place:]]


def _identity(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(entry.get("table")), str(entry.get("id")), str(entry.get("history_id"))


def _rows_of(event: Event) -> list[models.Model]:
    found: list[models.Model] = []
    for model in recorded_models():
        rows: models.QuerySet[Any] = models.QuerySet(model)
        found += [
            row
            for row in read_all(rows.filter(event_id=event.pk).order_by("pk")[:CHUNK])
            if not isinstance(row, Damaged)
        ]
    return found
