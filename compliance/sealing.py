"""The sealer: numbers committed events, links each to the one before and grows the tree over them, one at a time.

The chain of links tells where an order was broken; the tree is what checkpoints sign and proofs lead to.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, models, transaction

from compliance.errors import SealingRefused
from compliance.events import document_columns, document_reader
from compliance.ledger import chain
from compliance.ledger.commitments import leaf_hash
from compliance.ledger.merkle import Frontier, IncompleteTree, Tree
from compliance.models import Event, LedgerEntry, Subtree
from compliance.recorded_history import insert_together

# Any fixed number: it names the ledger among the database's advisory locks.
ADVISORY_LOCK = 7_302_541_908
BATCH = 500


def seal(*, limit: int | None = None) -> int:
    """Append entries for committed events that have none, oldest first, and return how many.

    Events are found by anti-join, never by a watermark: a transaction may commit after a later one. ``limit`` bounds
    one call. Raises SealingRefused under an isolation level that could fork the chain, or where the tree that is to be
    continued was damaged; RuntimeError inside a transaction (the entries have to be committed before the lock is let
    go).
    """
    with transaction.atomic(durable=True):
        _exclude_other_sealers()
        size, previous = _last()
        try:
            frontier = Frontier(stored_tree(size))
        except IncompleteTree as error:
            raise SealingRefused(f"the tree cannot be continued: {error}; run verify_ledger") from error
        unsealed: models.QuerySet[Event] = (
            models.QuerySet(Event).filter(entry__isnull=True).order_by("occurred_at", "id")
        )
        unsealed_documents = unsealed.values_list(*document_columns())
        read = document_reader()
        now = datetime.datetime.now(tz=datetime.UTC)
        places: list[dict[str, Any]] = []
        subtrees: list[Subtree] = []
        for index, values in enumerate(unsealed_documents[:limit].iterator(chunk_size=BATCH), start=size):
            event = read(values)
            leaf = leaf_hash(event)
            previous = chain.link_hash(previous=previous, leaf=leaf)
            places.append(
                {"index": index, "event_id": event["id"], "leaf_hash": leaf.hex(), "link_hash": previous.hex()}
            )
            subtrees += [
                Subtree(level=level, index=number, hash=digest.hex()) for level, number, digest in frontier.append(leaf)
            ]
        _append(places, now)
        kept: models.QuerySet[Subtree] = models.QuerySet(Subtree)
        kept.bulk_create(subtrees, batch_size=BATCH)
    return len(places)


def _append(places: list[dict[str, Any]], now: datetime.datetime) -> None:
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        if connection.vendor == "postgresql":
            at = now.isoformat()
            insert_together(LedgerEntry, [{**place, "sealed_at": at} for place in part], using=DEFAULT_DB_ALIAS)
        else:
            ledger: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
            ledger.bulk_create([LedgerEntry(**place, sealed_at=now) for place in part])


def seal_all() -> None:
    """Seal until no committed event is left."""
    while seal():
        pass


def size() -> int:
    """Return the number of sealed events."""
    return _last()[0]


def head() -> tuple[int, str]:
    """Return the number of sealed events and the root of the tree over them, in hexadecimal."""
    sealed = size()
    return sealed, root_at(sealed).hex()


def root_at(size: int) -> bytes:
    """Return the root over the first ``size`` events. Raises IncompleteTree where they are not all there."""
    return stored_tree(size).root()


def stored_tree(size: int) -> Tree:
    """Return the tree over the first ``size`` events, read from the database as far as it is asked for."""
    return Tree(size=size, read=_read)


def unsealed_count() -> int:
    """Return how many committed events wait for the sealer."""
    return models.QuerySet(Event).filter(entry__isnull=True).count()


def _last() -> tuple[int, bytes]:
    last = models.QuerySet(LedgerEntry).order_by("-index").values_list("index", "link_hash").first()
    return (0, chain.GENESIS) if last is None else (last[0] + 1, bytes.fromhex(last[1]))


def _read(level: int, start: int, stop: int) -> list[bytes]:
    if level == 0:
        leaves: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
        leaves = leaves.filter(index__range=(start, stop - 1)).order_by("index")
        return [bytes.fromhex(leaf) for leaf in leaves.values_list("leaf_hash", flat=True)]
    nodes: models.QuerySet[Subtree] = models.QuerySet(Subtree)
    nodes = nodes.filter(level=level, index__range=(start, stop - 1)).order_by("index")
    return [bytes.fromhex(node) for node in nodes.values_list("hash", flat=True)]


def _exclude_other_sealers() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW transaction_isolation")
            (isolation,) = cursor.fetchone()
            if isolation != "read committed":
                # A snapshot older than the lock would show this sealer a head that another has already moved.
                raise SealingRefused(f"sealing needs READ COMMITTED, and this connection is {isolation.upper()}")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        else:
            # A write that touches no row takes SQLite's write lock before the head is read, as BEGIN IMMEDIATE does.
            cursor.execute("DELETE FROM compliance_ledgerentry WHERE 0")
