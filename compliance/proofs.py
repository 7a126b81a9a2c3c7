"""Proofs to hand out: that one record stands in the ledger, and that one checkpoint continues another.

A proof card shows one event and one record of it. Everything else that the event holds, other rows and the fields of
its payload, stays a hash; of other events it holds hashes alone. So it speaks of one finding and of no other patient.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from django.db import models

from compliance.errors import RecordError
from compliance.events import event_document, is_bulk, record_identity
from compliance.ledger import merkle
from compliance.ledger.canonical import Json, canonical_bytes
from compliance.ledger.note import Checkpoint, Note, VerifierKey
from compliance.models import Event, LedgerEntry
from compliance.registry import TableClass, classes_of, history_model, recorded_models
from compliance.rows import row_digest, row_values
from compliance.sealing import root_at, stored_tree
from compliance.shapes import known_shapes

CARD_FORMAT, CARD_VERSION = "label-qa-proof-card", 1
PROOF_FORMAT = "label-qa-consistency-proof"


class NotProvable(RecordError):
    """There is no such record, or its event is not under this checkpoint."""


def last_row(model: type[models.Model], pk: uuid.UUID | str) -> models.Model:
    """Return the row that holds a record's last state: its newest history row, or the write-once row itself."""
    versioned = TableClass.VERSIONED in classes_of(model)
    source = history_model(model) if versioned else model
    rows: models.QuerySet[Any] = models.QuerySet(source)
    key = model._meta.pk.attname if versioned else "pk"
    row: models.Model | None = rows.filter(**{key: pk}).order_by("-pk").first()
    if row is None or source not in recorded_models():
        raise NotProvable(f"there is no record {model._meta.db_table} {pk}")
    return row


def proof_card(row: models.Model, *, checkpoint: Note, key: VerifierKey, show: Collection[str] = ()) -> dict[str, Json]:
    """Return the proof card of a history row or write-once row, as plain data with a canonical form.

    ``key`` is the ledger's key that signed the checkpoint; ``show`` names the payload fields to disclose. Raises
    NotProvable if the row's event is not among those that the checkpoint covers.
    """
    head = Checkpoint.parse(checkpoint.text)
    entries: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
    entry = entries.select_related("event").filter(event_id=row.event_id, index__lt=head.size).first()  # type: ignore[attr-defined]  # recorded rows have one
    if entry is None:
        raise NotProvable("the record's event is not sealed under this checkpoint")
    identity = record_identity(row)
    mine = _entry_of(entry.event, identity)
    columns = known_shapes([type(row)]).get(str(mine["shape"]))
    return {
        "format": CARD_FORMAT,
        "version": CARD_VERSION,
        "checkpoint": str(checkpoint),
        "key": str(key),
        "index": entry.index,
        "proof": [step.hex() for step in stored_tree(head.size).inclusion_proof(entry.index)],
        "event": _shown(entry.event, mine, show),
        "record": {**identity, "values": row_values(row, columns=columns)},
        "record_proof": _within(entry.event, row, mine, columns) if is_bulk(mine) else None,
    }


def consistency_proof(*, first: int, second: int) -> dict[str, Json]:
    """Return the proof that the ledger of ``second`` events continues that of ``first``, with both roots."""
    tree = stored_tree(second)
    proof = tree.consistency_proof(first)
    return {
        "format": PROOF_FORMAT,
        "version": 1,
        "first": {"size": first, "root": root_at(first).hex()},
        "second": {"size": second, "root": tree.root().hex()},
        "proof": [step.hex() for step in proof],
    }


def _entry_of(event: Event, identity: dict[str, Json]) -> dict[str, Any]:
    for entry in event.rows:
        if {name: entry.get(name) for name in identity} == identity:
            return dict(entry)
    for entry in event.rows:
        if is_bulk(entry) and entry["table"] == identity["table"] and identity["history_id"] is None:
            return dict(entry)
    raise NotProvable(f"event {event.pk} does not name {identity['table']} {identity['id']}")


def _shown(event: Event, mine: dict[str, Any], show: Collection[str]) -> dict[str, Json]:
    document = event_document(event)
    return {
        **document,
        "payload": {name: value for name, value in event.payload.items() if name in show},
        "salts": {name: salt for name, salt in event.salts.items() if name in show and name in event.payload},
        "rows": [entry if entry == mine else merkle.hash_leaf(canonical_bytes(entry)).hex() for entry in event.rows],
    }


def _within(event: Event, row: models.Model, mine: dict[str, Any], columns: Collection[str] | None) -> dict[str, Json]:
    """Return where a row's digest stands among the many rows that its event wrote under one root."""
    rows: models.QuerySet[Any] = models.QuerySet(type(row))
    named = {entry["id"] for entry in event.rows if not is_bulk(entry) and entry["table"] == mine["table"]}
    digests = sorted(
        bytes.fromhex(row_digest(row_values(one, columns=columns)))
        for one in rows.filter(event_id=event.pk)
        if str(one.pk) not in named
    )
    place = digests.index(bytes.fromhex(row_digest(row_values(row, columns=columns))))
    tree = merkle.tree_of([merkle.hash_leaf(digest) for digest in digests])
    return {"index": place, "proof": [step.hex() for step in tree.inclusion_proof(place)]}
