"""Sixteen writers at once, while one sealer after another is killed: no fork, no gap, no lost event.

A few seconds by default; ``QASERVICE_WRITERS_SECONDS=60`` takes the full minute.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection, models

from compliance.events import event_leaf
from compliance.ledger import chain, merkle
from compliance.models import Event, LedgerEntry, Subtree
from compliance.sealing import head, seal, unsealed_count
from compliance.verification import verify_live
from tests.compliance.scenes import open_case, rename_case, view_case
from tests.compliance.testapp.models import Case

pytestmark = [pytest.mark.postgres, pytest.mark.requirement("REQ-01")]

WRITERS = 16
SECONDS = float(os.environ.get("QASERVICE_WRITERS_SECONDS", "4"))
SCRIPT = Path(__file__).with_name("sealers.py")


@contextmanager
def sealers(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that makes sealers of this database; whatever it made is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


@pytest.mark.timeout(1200)
def test_sixteen_writers_and_sealers_that_are_killed_leave_the_tree_of_a_single_pass(postgres_database: str) -> None:
    cases = [open_case(title=str(number)) for number in range(WRITERS)]
    written = [0] * WRITERS
    failures: list[BaseException] = []
    stop = threading.Event()

    def write(number: int) -> None:
        try:
            # Once at least, however slow the machine is.
            while not written[number] or not stop.is_set():
                rename_case(cases[number], str(written[number]))
                view_case(cases[number])
                written[number] += 1
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    kills = 0
    with sealers(postgres_database) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for thread in threads:
            thread.start()
        began = time.monotonic()
        try:
            # At least a few sealers die, however slow the machine is.
            while time.monotonic() - began < SECONDS or kills < 3:
                process.stdin.write(b"\n")
                process.stdin.flush()
                sealer = int(process.stdout.readline())
                os.kill(sealer, signal.SIGKILL)
                kills += 1
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        took = time.monotonic() - began
    assert failures == []
    by_the_killed = head()[0]
    while seal():
        pass
    assert unsealed_count() == 0
    expected = WRITERS + 2 * sum(written)
    require_single_pass(expected)
    for number, case in enumerate(cases):
        assert Case.objects.get(pk=case.pk).title == str(written[number] - 1)
        assert case.history.count() == 1 + written[number]
    result = verify_live()
    assert (result.ok, result.sealed, result.unsealed) == (True, expected, 0)
    print(
        f"{expected} events by {WRITERS} writers in {took:.1f} s ({expected / took:.0f} a second), {kills} sealers "
        f"killed, {by_the_killed} events sealed by them"
    )


def require_single_pass(expected: int) -> None:
    """Number, link and hash all events anew, in one pass, and compare with what the sealers left."""
    assert Event.objects.count() == expected
    entries = list(models.QuerySet(LedgerEntry).select_related("event").order_by("index"))
    assert [entry.index for entry in entries] == list(range(expected)), "a gap"
    assert len({entry.event_id for entry in entries}) == expected, "an event twice"
    previous, frontier, kept = chain.GENESIS, merkle.Frontier(), {}
    for entry in entries:
        leaf = event_leaf(entry.event)
        previous = chain.link_hash(previous=previous, leaf=leaf)
        assert (entry.leaf_hash, entry.link_hash) == (leaf.hex(), previous.hex()), f"a fork at {entry.index}"
        kept.update({(level, index): digest.hex() for level, index, digest in frontier.append(leaf)})
    stored = models.QuerySet(Subtree).values_list("level", "index", "hash")
    assert {(level, index): digest for level, index, digest in stored} == kept
    assert head() == (expected, frontier.root().hex())
