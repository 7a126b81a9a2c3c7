"""An event's canonical form, and the digests of the rows that belong to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import models

from compliance.ledger import merkle
from compliance.ledger.canonical import Json
from compliance.ledger.commitments import commitment, leaf_hash
from compliance.models import Event
from compliance.recorded_history import HistoryRow
from compliance.rows import MARK_LENGTH, field_marks, row_digest, row_values, utc_text
from compliance.running import Change
from compliance.shapes import current_shape

CHUNK = 500

# What an entry says of one row, and of many, as text.
SINGLE = ("table", "id", "op", "shape", "digest", "marks")
BULK = ("table", "op", "label", "shape", "key", "root", "marks")

EVENT_FIELDS = (
    "id",
    "kind",
    "occurred_at",
    "actor_id",
    "actor_name",
    "actor_role",
    "simulated",
    "reason",
    "subject_type",
    "subject_id",
    "project_key",
    "payload",
    "salts",
    "commitments",
    "rows",
    "txid",
)


def event_document(event: Event) -> dict[str, Json]:
    """Return an event as kits hold it: every column, with its time as UTC text."""
    return document_of({name: getattr(event, name) for name in EVENT_FIELDS})


def document_of(values: Mapping[str, Any]) -> dict[str, Json]:
    """Return the same of an event's plain values by the names in ``EVENT_FIELDS``."""
    return {**values, "id": str(values["id"]), "occurred_at": utc_text(values["occurred_at"])}


def event_leaf(event: Event) -> bytes:
    """Return the leaf hash of a stored event: over its commitments, so that it outlives what is redacted."""
    return leaf_hash(event_document(event))


def payload_faults(event: Event) -> Iterator[str]:
    """Yield the payload fields that do not fit their commitments, or that no commitment binds."""
    for name in sorted({*event.payload, *event.salts}):
        try:
            found = commitment(name=name, value=event.payload[name], salt=event.salts[name])
        except (KeyError, TypeError, ValueError):
            found = ""
        if found != event.commitments.get(name):
            yield name


def record_identity(row: models.Model) -> dict[str, Json]:
    """Return how the record names a row: table and key, and ``history_id`` where it is a history row."""
    if isinstance(row, HistoryRow):
        subject: Any = row.instance_type  # type: ignore[attr-defined]  # set by the history package
        return {
            "table": subject._meta.db_table,
            "id": str(getattr(row, subject._meta.pk.attname)),
            "history_id": str(row.pk),
        }
    return {"table": row._meta.db_table, "id": str(row.pk), "history_id": None}


def event_rows(running: Change) -> list[dict[str, Json]]:
    """Return the entries of all rows that a change wrote, read back from the database as they were stored.

    Rows that a savepoint rolled back are not there any more, and drop out.
    """
    stored: dict[tuple[type[models.Model], Any], models.Model] = {}
    for model in dict.fromkeys(model for model, _ in running.written):
        keys = [key for noted, key in running.written if noted is model]
        stored.update(((model, row.pk), row) for row in fetch(model, "pk", keys))
    entries = [row_entry(stored[noted]) for noted in dict.fromkeys(running.written) if noted in stored]
    for model in sorted(running.bulk, key=lambda one: one._meta.db_table):
        single = {key for noted, key in running.written if noted is model}
        rows = [row for row in fetch(model, "event_id", [running.event_id]) if row.pk not in single]
        if rows:
            entries.append(bulk_entry(rows, label=running.bulk[model]))
    return entries


def row_entry(row: models.Model) -> dict[str, Json]:
    """Return the entry of one stored row: its name, what happened to it, its digest and its fields' marks."""
    values = row_values(row)
    return {
        **record_identity(row),
        "op": getattr(row, "history_type", "+"),
        "shape": current_shape(type(row)),
        "digest": row_digest(values),
        "marks": field_marks(values),
    }


def bulk_entry(rows: Sequence[models.Model], *, label: str) -> dict[str, Json]:
    """Return the one entry of many rows of a table: their number and the Merkle root over their sorted digests.

    ``key`` is the column that names a row. ``marks`` holds the beginning of each row's digest, in the order of the
    rows' keys: it tells which row was altered.
    """
    digests = {str(row.pk): row_digest(row_values(row)) for row in rows}
    return {
        "table": rows[0]._meta.db_table,
        "op": "+",
        "label": label,
        "shape": current_shape(type(rows[0])),
        "key": str(rows[0]._meta.pk.column),
        "count": len(digests),
        "root": merkle.root(sorted(bytes.fromhex(digest) for digest in digests.values())).hex(),
        "marks": "".join(digests[key][:MARK_LENGTH] for key in sorted(digests)),
    }


def fetch(model: type[models.Model], column: str, keys: Sequence[Any]) -> Iterator[models.Model]:
    """Yield the rows whose ``column`` is among ``keys``, asking for a bounded number of keys at a time."""
    for start in range(0, len(keys), CHUNK):
        yield from models.QuerySet(model).filter(**{f"{column}__in": keys[start : start + CHUNK]}).order_by("pk")


def require_readable(entry: Mapping[str, Any]) -> None:
    """Raise KeyError or TypeError unless an entry says of its rows what ``row_entry`` or ``bulk_entry`` does."""
    bulk = is_bulk(entry)
    texts = all(isinstance(entry[name], str) for name in (BULK if bulk else SINGLE))
    if not texts or (bulk and not isinstance(entry["count"], int)):
        raise TypeError(entry)


def is_bulk(entry: Mapping[str, Any]) -> bool:
    """Tell a bulk entry from the entry of one row."""
    return "root" in entry
