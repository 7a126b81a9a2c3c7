"""Verification of the live record: chain, tree, events, rows and live state, naming the first altered record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import models

from compliance.events import event_leaf
from compliance.ledger import chain
from compliance.ledger.canonical import NotCanonical
from compliance.models import Event, LedgerEntry
from compliance.problems import DAMAGED, Damaged, Problem, read_all
from compliance.reconciliation import reconcile
from compliance.row_checks import check_rows, shape_problems, unexplained_rows
from compliance.sealing import size
from compliance.tree_checks import Disclosure, TreeWatch, given_head, kept_checkpoints

CHUNK = 100
SHOWN = 100


@dataclass(frozen=True)
class VerificationResult:
    """What verification found. ``first`` is the earliest problem in ledger order; ``problems`` holds a hundred."""

    ok: bool
    sealed: int
    unsealed: int
    rows: int
    head: str
    first: Problem | None
    problems: tuple[Problem, ...]
    problem_count: int
    redacted: int = 0
    checkpoints: int = 0


def verify_live(*, checkpoint: tuple[int, str] | None = None) -> VerificationResult:
    """Verify the whole record as it stands, and say what was altered, first in ledger order.

    Checked: the chain without gaps; every event against its leaf, and its payload against its commitments; what is
    missing of a payload against the redactions that say so; every history row and write-once row against the digest in
    its event; rows that no event names, and named rows that are missing; the kept nodes of the tree; checkpoints on
    disk against the tree, and their signatures; live rows against their last history. ``checkpoint`` is a further
    (size, root) kept outside, from a report or a kit: without any, a ledger whose end was cut off together with its
    rows still looks whole.
    """
    sealed_size = size()
    outside = kept_checkpoints()
    watch = TreeWatch(sizes={*outside.sizes, *([checkpoint[0]] if checkpoint else ())})
    disclosure = Disclosure()
    found: list[Problem] = []
    sealed, unsealed, rows = 0, 0, 0
    for outcome in _walk(sealed_size, watch, disclosure):
        if isinstance(outcome, Problem):
            found.append(outcome)
        else:
            sealed, unsealed, rows = sealed + outcome[0], unsealed + outcome[1], rows + outcome[2]
    found += disclosure.problems()
    found += watch.problems()
    found += outside.problems(watch)
    if checkpoint:
        found += given_head(checkpoint, watch)
    found += shape_problems()
    found += unexplained_rows()
    found += reconcile()
    found.sort(key=lambda problem: problem.place)
    return VerificationResult(
        ok=not found,
        sealed=sealed,
        unsealed=unsealed,
        rows=rows,
        head=watch.root.hex(),
        first=found[0] if found else None,
        problems=tuple(found[:SHOWN]),
        problem_count=len(found),
        redacted=disclosure.redacted,
        checkpoints=len(outside.sizes),
    )


def _walk(size: int, watch: TreeWatch, disclosure: Disclosure) -> Iterator[Problem | tuple[int, int, int]]:
    """Yield problems and, between them, how many (sealed events, unsealed events, rows) were read."""
    previous = chain.GENESIS
    for start in range(0, size, CHUNK):
        entries = dict(_entries(start))
        events, damaged = _events(Event._base_manager.filter(pk__in=[entry.event_id for entry in entries.values()]))
        whole: list[tuple[int | None, Event]] = []
        for index in range(start, min(start + CHUNK, size)):
            entry = entries.get(index)
            watch.append(bytes(32) if entry is None else _bytes(entry.leaf_hash))
            if entry is None:
                yield Problem(f"event {index}: its place in the ledger is missing or unreadable", event_index=index)
                continue
            event = events.get(entry.event_id)
            if event is None:
                what = "cannot be read" if entry.event_id in damaged else "is missing"
                yield Problem(
                    f"event {index}: the event {entry.event_id} {what}",
                    event_index=index,
                    event_id=str(entry.event_id),
                    table=Event._meta.db_table,
                    record_id=str(entry.event_id),
                )
            elif _leaf(event) == entry.leaf_hash:
                whole.append((index, event))
                yield from disclosure.note(index, event)
            else:
                # What an altered event says of its rows is worth nothing: they are not judged by it.
                yield Problem(
                    f"event {index} ({event.kind}, {event.pk}): its content was altered",
                    event_index=index,
                    event_id=str(event.pk),
                    table=Event._meta.db_table,
                    record_id=str(event.pk),
                )
            yield from _check_link(entry, previous)
            previous = _bytes(entry.link_hash)
        yield from _rows(whole, sealed=True)
    unsealed = models.Q(entry__isnull=True) | models.Q(entry__index__gte=size)
    waiting, damaged = _events(Event._base_manager.filter(unsealed).order_by("occurred_at", "id"))
    # Nothing vouches for an event before it is sealed; but what the sealer could not hash, it never wrote.
    damaged |= {event.pk for event in waiting.values() if not _leaf(event)}
    for key in sorted(damaged, key=str):
        yield Problem(f"unsealed event {key}: it cannot be read", event_id=str(key), table=Event._meta.db_table)
    for event in waiting.values():
        yield from disclosure.note(None, event)
    yield from _rows([(None, event) for event in waiting.values()], sealed=False)


def _events(rows: models.QuerySet[Event]) -> tuple[dict[object, Event], set[object]]:
    events: dict[object, Event] = {}
    damaged: set[object] = set()
    for row in read_all(rows):
        if isinstance(row, Damaged):
            damaged.add(row.key)
        else:
            events[row.pk] = row
    return events, damaged


def _rows(events: list[tuple[int | None, Event]], *, sealed: bool) -> Iterator[Problem | tuple[int, int, int]]:
    for start in range(0, len(events), CHUNK):
        part = events[start : start + CHUNK]
        for outcome in check_rows(part):
            if isinstance(outcome, Problem):
                yield outcome
            else:
                yield (len(part), 0, outcome) if sealed else (0, len(part), outcome)


def _entries(start: int) -> Iterator[tuple[int, LedgerEntry]]:
    # Without sealed_at: it is the sealer's note, and no part of the proof.
    rows: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
    rows = rows.filter(index__range=(start, start + CHUNK - 1))
    for entry in read_all(rows.only("index", "event_id", "leaf_hash", "link_hash").order_by("index")):
        if isinstance(entry, LedgerEntry):
            yield entry.index, entry


def _leaf(event: Event) -> str:
    """Return an event's leaf hash, or an empty string for content that could never have been recorded."""
    try:
        return event_leaf(event).hex()
    except (NotCanonical, *DAMAGED):
        return ""


def _check_link(entry: LedgerEntry, previous: bytes) -> Iterator[Problem]:
    leaf = _bytes(entry.leaf_hash)
    if chain.link_hash(previous=previous, leaf=leaf).hex() != entry.link_hash:
        yield Problem(
            f"event {entry.index}: its link does not follow from the event before it",
            event_index=entry.index,
            event_id=str(entry.event_id),
            table=LedgerEntry._meta.db_table,
            record_id=str(entry.index),
        )


def _bytes(text: str) -> bytes:
    """Return the 32 bytes of a stored hash; zeros for text that is none, which then fits nothing."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    return found if len(found) == 32 else bytes(32)
