"""The sealer: numbers committed events and links each to the one before, one sealer at a time."""

from __future__ import annotations

import datetime

from django.db import connection, models, transaction

from compliance.errors import SealingRefused
from compliance.events import event_leaf
from compliance.ledger import chain
from compliance.models import Event, LedgerEntry

# Any fixed number: it names the ledger among the database's advisory locks.
ADVISORY_LOCK = 7_302_541_908
BATCH = 500


def seal(*, limit: int | None = None) -> int:
    """Append entries for committed events that have none, oldest first, and return how many.

    Events are found by anti-join, never by a watermark: a transaction may commit after a later one. ``limit`` bounds
    one call. Raises SealingRefused under an isolation level that could fork the chain, RuntimeError inside a
    transaction (the entries have to be committed before the lock is let go).
    """
    with transaction.atomic(durable=True):
        _exclude_other_sealers()
        size, link = head()
        previous = bytes.fromhex(link)
        unsealed: models.QuerySet[Event] = (
            models.QuerySet(Event).filter(entry__isnull=True).order_by("occurred_at", "id")
        )
        now = datetime.datetime.now(tz=datetime.UTC)
        entries = []
        for index, event in enumerate(unsealed[:limit].iterator(chunk_size=BATCH), start=size):
            leaf = event_leaf(event)
            previous = chain.link_hash(previous=previous, leaf=leaf)
            entries.append(
                LedgerEntry(index=index, event=event, leaf_hash=leaf.hex(), link_hash=previous.hex(), sealed_at=now)
            )
        ledger: models.QuerySet[LedgerEntry] = models.QuerySet(LedgerEntry)
        ledger.bulk_create(entries, batch_size=BATCH)
    return len(entries)


def head() -> tuple[int, str]:
    """Return the number of sealed events and the last link hash in hexadecimal (64 zeros for an empty ledger)."""
    last = models.QuerySet(LedgerEntry).order_by("-index").values_list("index", "link_hash").first()
    return (0, chain.GENESIS.hex()) if last is None else (last[0] + 1, last[1])


def unsealed_count() -> int:
    """Return how many committed events wait for the sealer."""
    return models.QuerySet(Event).filter(entry__isnull=True).count()


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
