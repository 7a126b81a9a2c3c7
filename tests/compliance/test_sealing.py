"""Sealing: numbers without gaps, links that follow, one sealer at a time."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, models, transaction

from compliance.errors import SealingRefused
from compliance.events import event_leaf
from compliance.ledger import chain, merkle
from compliance.models import Event, LedgerEntry
from compliance.sealing import head, seal, unsealed_count
from tests.compliance.databases import in_use
from tests.compliance.scenes import open_case, rename_case, view_case
from tests.plugins.postgres import django_settings


def links_follow() -> bool:
    previous = chain.GENESIS
    for index, entry in enumerate(LedgerEntry.objects.order_by("index").select_related("event")):
        leaf = event_leaf(entry.event)
        previous = chain.link_hash(previous=previous, leaf=leaf)
        if (entry.index, entry.leaf_hash, entry.link_hash) != (index, leaf.hex(), previous.hex()):
            return False
    return True


def test_an_empty_ledger_has_the_root_of_no_leaves_and_nothing_to_seal(database: str) -> None:
    assert head() == (0, merkle.EMPTY_ROOT.hex())
    assert seal() == 0
    assert unsealed_count() == 0


def test_events_are_numbered_in_order_of_time_without_gaps(database: str) -> None:
    case = open_case(slices=2)
    for number in range(4):
        rename_case(case, str(number))
    assert unsealed_count() == 5
    assert [seal(limit=2), seal(limit=2), seal(), seal()] == [2, 2, 1, 0]
    assert links_follow()
    leaves = [bytes.fromhex(entry.leaf_hash) for entry in LedgerEntry.objects.order_by("index")]
    assert head() == (5, merkle.root_of_hashes(leaves).hex())
    times = [entry.event.occurred_at for entry in LedgerEntry.objects.order_by("index")]
    assert times == sorted(times)


def test_an_event_that_was_committed_late_is_sealed_late_and_not_lost(database: str) -> None:
    view_case(open_case())
    assert seal() == 2
    models.QuerySet(Event).bulk_create(
        [
            Event(
                kind="case.viewed",
                occurred_at=datetime.now(tz=UTC) - timedelta(hours=1),
                actor_id="ann",
                actor_name="Ann",
                actor_role="reader",
                simulated=False,
                reason="committed after later ones",
                subject_type="case",
                subject_id="1",
                payload={},
                salts={},
                commitments={},
                rows=[],
            )
        ]
    )
    assert seal() == 1
    assert LedgerEntry.objects.get(index=2).event.reason == "committed after later ones"
    assert links_follow()


def test_sealing_inside_a_transaction_is_refused(database: str) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        seal()


@pytest.mark.postgres
def test_an_isolation_level_that_could_fork_the_chain_is_refused(postgres_database: str) -> None:
    open_case()
    options = {"OPTIONS": {"options": "-c default_transaction_isolation=repeatable\\ read"}}
    with in_use({**django_settings(postgres_database), **options}):
        with pytest.raises(SealingRefused, match="REPEATABLE READ"):
            seal()
        assert head() == (0, merkle.EMPTY_ROOT.hex())


def test_concurrent_sealers_and_writers_do_not_fork_the_chain(database: str) -> None:
    case = open_case()
    writing = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    def write() -> None:
        for _ in range(12):
            view_case(case)

    def keep_sealing() -> None:
        while not writing.is_set():
            seal(limit=3)

    writers = [threading.Thread(target=guarded, args=(write,)) for _ in range(3)]
    sealers = [threading.Thread(target=guarded, args=(keep_sealing,)) for _ in range(2)]
    for thread in [*sealers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    for thread in sealers:
        thread.join()
    assert failures == []
    seal()
    assert head()[0] == Event.objects.count() == LedgerEntry.objects.count() == 37
    assert links_follow()
