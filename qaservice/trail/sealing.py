"""Where events and rows stand in the ledger, and whether they still are what it says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from compliance.checkpoint_files import configured, kept_sizes
from compliance.events import event_leaf, is_bulk, payload_faults, record_identity
from compliance.models import Event, LedgerEntry
from compliance.registry import recorded_models
from compliance.rows import row_digest, row_values
from compliance.shapes import known_shapes


@dataclass(frozen=True, slots=True)
class Seal:
    """An event's place in the ledger.

    ``index`` is None until the sealer has been there. ``checkpoint`` is the size of the first signed checkpoint that
    covers the event, None where none does yet. ``fits``: whether the stored event still has the leaf that was sealed.
    """

    index: int | None
    leaf_hash: str
    sealed_at: datetime | None
    checkpoint: int | None
    fits: bool


def shapes_of_rows() -> Mapping[str, tuple[str, ...]]:
    """Return the columns that digests of rows cover, by the name that entries give them."""
    return known_shapes(recorded_models())


def checkpoint_sizes() -> list[int]:
    """Return the sizes of the signed checkpoints on disk, ascending; none where the site keeps none."""
    place = configured()
    return [] if place is None else kept_sizes(place)


def entry_of(event: Event) -> LedgerEntry | None:
    """Return an event's place in the ledger, None while it waits for the sealer."""
    try:
        entry: LedgerEntry = event.entry
    except ObjectDoesNotExist:
        return None
    return entry


def seal_of(event: Event, *, checkpoints: Sequence[int]) -> Seal:
    """Return where an event stands; its leaf is computed anew and compared."""
    entry = entry_of(event)
    if entry is None:
        return Seal(index=None, leaf_hash="", sealed_at=None, checkpoint=None, fits=_payload_fits(event))
    covering = bisect_right(checkpoints, entry.index)
    return Seal(
        index=entry.index,
        leaf_hash=entry.leaf_hash,
        sealed_at=entry.sealed_at,
        checkpoint=checkpoints[covering] if covering < len(checkpoints) else None,
        fits=_leaf_fits(event, entry),
    )


def row_entry_of(event: Event, row: models.Model) -> dict[str, Any] | None:
    """Return what an event says of a row that it wrote: an entry of its own, or the one of many; None for neither."""
    identity = record_identity(row)
    for entry in event.rows:
        if not is_bulk(entry) and {name: entry.get(name) for name in identity} == identity:
            return dict(entry)
    for entry in event.rows:
        if is_bulk(entry) and entry.get("table") == identity["table"] and identity["history_id"] is None:
            return dict(entry)
    return None


def row_fits(event: Event, row: models.Model, *, shapes: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether a row has the digest that its event says; of one among many, whether it is named by its mark.

    The whole proof is ``verify_ledger``'s: this is what one page can tell of one row.
    """
    entry = row_entry_of(event, row)
    if entry is None:
        return False
    try:
        values = row_values(row, columns=shapes[str(entry["shape"])])
    except (KeyError, TypeError):
        return False
    digest = row_digest(values)
    if is_bulk(entry):
        return digest[:8] in _marks(str(entry["marks"]))
    return bool(digest == entry["digest"])


def _marks(text: str) -> set[str]:
    return {text[start : start + 8] for start in range(0, len(text), 8)}


def _leaf_fits(event: Event, entry: LedgerEntry) -> bool:
    try:
        return event_leaf(event).hex() == entry.leaf_hash and _payload_fits(event)
    except (KeyError, TypeError, ValueError):
        return False


def _payload_fits(event: Event) -> bool:
    return not any(payload_faults(event))
