"""An event's canonical form, and the digests of the rows that belong to it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models

from compliance.ledger import merkle
from compliance.ledger.canonical import Json, canonical_bytes
from compliance.ledger.commitments import commitment, leaf_hash, new_salt
from compliance.models import Event
from compliance.recorded_history import HistoryRow, insert_together
from compliance.rows import MARK_LENGTH, digest_and_marks, row_digest, row_values, stored_column, utc_text
from compliance.running import Change
from compliance.shapes import current_shape

CHUNK = 500

# What an entry says of one row, and of many, as text.
SINGLE = ("table", "id", "op", "shape", "digest", "marks")
BULK = ("table", "op", "label", "shape", "key", "root", "marks")

DOCUMENTS = ("payload", "salts", "commitments", "rows")
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

_FIELDS: dict[str, models.Field[Any, Any]] = {field.name: field for field in Event._meta.local_concrete_fields}


def event_document(event: Event) -> dict[str, Json]:
    """Return an event as kits hold it: every column, with its time as UTC text."""
    return document_of({name: getattr(event, name) for name in EVENT_FIELDS})


def document_of(values: Mapping[str, Any]) -> dict[str, Json]:
    """Return the same of an event's plain values by the names in ``EVENT_FIELDS``."""
    return {**values, "id": str(values["id"]), "occurred_at": utc_text(values["occurred_at"])}


def document_columns(prefix: str = "") -> list[str | models.Func]:
    """Return what a query asks for so that ``document_reader`` makes an event's document of it."""
    return [stored_column(field, prefix, texts=("uuid", "jsonb")) for field in _FIELDS.values()]


def document_reader() -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Return what makes of an event's plain values the same as ``event_document`` of the instance.

    PostgreSQL gives keys, times and documents as text: to make objects of each, and text of these again, takes longer
    than all hashing.
    """
    names = tuple(_FIELDS)
    if connections[DEFAULT_DB_ALIAS].vendor != "postgresql":
        return lambda values: document_of(dict(zip(names, values, strict=True)))

    def read(values: Sequence[Any]) -> dict[str, Any]:
        event = dict(zip(names, values, strict=True))
        documents = [event[name] for name in DOCUMENTS]
        event["payload"], event["salts"], event["commitments"], event["rows"] = json.loads(f"[{','.join(documents)}]")
        return event

    return read


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


def write_events(changes: Sequence[Change]) -> None:
    """Insert the events of some changes, the entries of their rows with them: one statement for up to ``CHUNK``.

    Raises NotCanonical for a payload that has no canonical form.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    for start in range(0, len(changes), CHUNK):
        part = [_new_event(running) for running in changes[start : start + CHUNK]]
        if len(part) > 1 and connection.vendor == "postgresql":
            insert_together(Event, part, using=DEFAULT_DB_ALIAS)
            continue
        values = [value for event in part for value in _as_stored(event, connection)]
        with connection.cursor() as cursor:
            cursor.execute(_insertion(len(part)), values)


def _new_event(running: Change) -> dict[str, Any]:
    """Return the columns of a change's event, by the names and in the order of ``EVENT_FIELDS``."""
    payload = running.payload
    salts = {name: new_salt() for name in payload}
    commitments = {name: commitment(name=name, value=payload[name], salt=salts[name]) for name in payload}
    if not all(isinstance(name, str) for name in payload):
        # Names that are no text, too, have no canonical form.
        canonical_bytes(commitments)
    actor, (subject_type, subject_id) = running.actor, running.subject
    return {
        "id": str(running.event_id),
        "kind": str(running.kind),
        "occurred_at": running.occurred_at.isoformat(),
        "actor_id": str(actor.id),
        "actor_name": str(actor.name),
        "actor_role": str(actor.role),
        "simulated": bool(actor.simulated),
        "reason": str(running.reason),
        "subject_type": str(subject_type),
        "subject_id": str(subject_id),
        "project_key": str(running.project_key),
        "payload": payload,
        "salts": salts,
        "commitments": commitments,
        "rows": event_rows(running),
        "txid": 0,
    }


def _as_stored(event: Mapping[str, Any], connection: Any) -> list[Any]:
    """Return the values of a new event as a statement of either database takes them."""
    found = dict(event)
    for name in ("id", "occurred_at"):
        found[name] = _FIELDS[name].get_db_prep_value(event[name], connection)
    for name in DOCUMENTS:
        found[name] = json.dumps(event[name])
    return list(found.values())


@functools.cache
def _insertion(count: int) -> str:
    columns = ", ".join(f'"{_FIELDS[name].column}"' for name in EVENT_FIELDS)
    row = f"({', '.join(['%s'] * len(EVENT_FIELDS))})"
    return f'INSERT INTO "{Event._meta.db_table}" ({columns}) VALUES {", ".join([row] * count)}'  # noqa: S608  # our names


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
    """Return the entries of all rows that a change wrote, as the database said it stored them, or read back.

    Rows that a savepoint rolled back are not there any more, and drop out.
    """
    untouched = connections[DEFAULT_DB_ALIAS].savepoint_state == running.savepoints
    stored = dict(running.held) if untouched else {}
    for model in dict.fromkeys(model for model, _ in running.written):
        keys = [key for noted, key in running.written if noted is model and (noted, key) not in stored]
        stored.update(((model, row.pk), row_values(row)) for row in fetch(model, "pk", keys))
    entries = [_entry(noted[0], stored[noted]) for noted in dict.fromkeys(running.written) if noted in stored]
    for model in sorted(running.bulk, key=lambda one: one._meta.db_table):
        single = {key for noted, key in running.written if noted is model}
        rows = [row for row in fetch(model, "event_id", [running.event_id]) if row.pk not in single]
        if rows:
            entries.append(bulk_entry(rows, label=running.bulk[model]))
    return entries


def row_entry(row: models.Model) -> dict[str, Json]:
    """Return the entry of one stored row: its name, what happened to it, its digest and its fields' marks."""
    return _entry(type(row), row_values(row))


def _entry(model: type[models.Model], values: dict[str, Json]) -> dict[str, Json]:
    history = issubclass(model, HistoryRow)
    subject: Any = model.instance_type if history else model  # type: ignore[attr-defined]  # set by the history package
    digest, marks = digest_and_marks(values)
    return {
        "table": subject._meta.db_table,
        "id": str(values[str(subject._meta.pk.column)]),
        "history_id": str(values[str(model._meta.pk.column)]) if history else None,
        "op": values.get("history_type", "+"),
        "shape": current_shape(model),
        "digest": digest,
        "marks": marks,
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
