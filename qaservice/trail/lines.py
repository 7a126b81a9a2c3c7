"""Lines of JSON: each canonical (RFC 8785), events whole with salts and row digests, so that anyone can recompute them.

The first line says what was asked and at which head of the ledger, the last how many lines there are and the SHA-256
over all bytes before it: a file that was cut off has no last line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db import models

from compliance.events import event_document, record_identity
from compliance.ledger.canonical import Json, canonical_bytes
from compliance.models import Event
from compliance.rows import row_digest, row_values, utc_text
from compliance.sealing import stored_tree
from qaservice.trail.sealing import entry_of, row_entry_of

VERSION = 1


def closed(lines: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Yield the lines as bytes, and the one that closes them."""
    digest, number = hashlib.sha256(), 0
    for line in lines:
        data = canonical_bytes(line) + b"\n"
        digest.update(data)
        number += 1
        yield data
    yield canonical_bytes({"type": "end", "lines": number, "sha256": digest.hexdigest()}) + b"\n"


def event_line(event: Event, *, size: int, proof: bool) -> dict[str, Json]:
    """Return the line of an event, with its inclusion proof in the tree of ``size`` events where one is asked for.

    An event that is not under that head has no index there.
    """
    entry = entry_of(event)
    line: dict[str, Json] = {
        "type": "event",
        "event": event_document(event),
        "index": None,
        "leaf_hash": None,
        "link_hash": None,
        "sealed_at": None,
    }
    if entry is None or entry.index >= size:
        return line
    line |= {
        "index": entry.index,
        "leaf_hash": entry.leaf_hash,
        "link_hash": entry.link_hash,
        "sealed_at": utc_text(entry.sealed_at),
    }
    if proof:
        line["proof"] = [step.hex() for step in stored_tree(size).inclusion_proof(entry.index)]
    return line


def row_line(event: Event, row: models.Model, *, part: str, shapes: Mapping[str, tuple[str, ...]]) -> dict[str, Json]:
    """Return the line of a row as it is stored, with the digest over the columns that its event's entry names.

    ``part`` says what it is to the record: a state, or something that belongs to it.
    """
    entry = row_entry_of(event, row) or {}
    shape = str(entry.get("shape", ""))
    values = row_values(row, columns=shapes.get(shape))
    return {
        "type": part,
        **record_identity(row),
        "event": str(event.pk),
        "op": getattr(row, "history_type", "+"),
        "shape": shape,
        "values": values,
        "digest": row_digest(values),
    }
