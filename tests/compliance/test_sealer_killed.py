"""A sealer that is killed at any moment leaves a whole tree; writers and sealers at once lose nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import connection, models

from compliance.ledger import merkle
from compliance.models import Event, LedgerEntry, Subtree
from compliance.sealing import head, seal, stored_tree, unsealed_count
from compliance.verification import verify_live
from tests.compliance.scenes import open_case, rename_case, view_case

SCRIPT = Path(__file__).with_name("killed_sealer.py")
KILLS = 5


def test_a_sealer_killed_again_and_again_leaves_the_tree_that_an_unhurt_one_would(
    request: pytest.FixtureRequest, database: str
) -> None:
    case = open_case()
    for _ in range(60):
        view_case(case)
    where = str(request.getfixturevalue("sqlite_database" if database == "sqlite" else "postgres_database"))
    connection.close()
    for number in range(KILLS):
        process = subprocess.Popen([sys.executable, SCRIPT, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        for _ in range(number + 1):
            process.stdout.readline()
            process.stdin.write(b"\n")
            process.stdin.flush()
        # From just after a commit to well into the next transaction.
        time.sleep(0.002 * number)
        process.kill()
        process.communicate()
    assert unsealed_count() > 0, "the sealer was not interrupted"
    while seal(limit=7):
        pass
    leaves = [bytes.fromhex(leaf) for leaf in LedgerEntry.objects.order_by("index").values_list("leaf_hash", flat=True)]
    assert head() == (61, merkle.root_of_hashes(leaves).hex())
    assert [entry.index for entry in LedgerEntry.objects.order_by("index")] == list(range(61))
    assert verify_live().ok


@pytest.mark.postgres
def test_four_writers_and_two_sealers_lose_no_event_fork_nothing_and_leave_no_gap(postgres_database: str) -> None:
    cases = [open_case(title=str(number)) for number in range(4)]
    done = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: object, *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    def write(number: int) -> None:
        for turn in range(20):
            rename_case(cases[number], f"{number}.{turn}")
            for _ in range(2):
                view_case(cases[number])

    def keep_sealing() -> None:
        while not done.is_set():
            seal(limit=20)

    sealers = [threading.Thread(target=guarded, args=(keep_sealing,)) for _ in range(2)]
    writers = [threading.Thread(target=guarded, args=(write, number)) for number in range(4)]
    for thread in [*sealers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in sealers:
        thread.join()
    assert failures == []
    seal()
    leaves = [bytes.fromhex(leaf) for leaf in LedgerEntry.objects.order_by("index").values_list("leaf_hash", flat=True)]
    assert head() == (Event.objects.count(), merkle.root_of_hashes(leaves).hex())
    assert head()[0] == 4 + 4 * 20 * 3
    assert verify_live().ok


def test_a_proof_at_a_million_leaves_reads_some_hundred_rows_and_takes_milliseconds(sqlite_database: Path) -> None:
    # Leaves of one value: all complete subtrees of one level are the same, so that a million need not be made.
    same = {0: merkle.hash_leaf(b"x")}
    for level in range(1, 21):
        same[level] = merkle.hash_node(same[level - 1], same[level - 1])
    reads: list[int] = []

    def read(level: int, start: int, stop: int) -> list[bytes]:
        reads.append(stop - start)
        return [same[level]] * (stop - start)

    tree = merkle.Tree(size=1_000_000, read=read)
    began = time.process_time()
    proof = tree.inclusion_proof(765_432)
    took = time.process_time() - began
    merkle.verify_inclusion(index=765_432, size=1_000_000, leaf=same[0], proof=proof, root=tree.root())
    assert len(reads) <= 6
    assert sum(reads) <= 6 * 256
    assert took < 0.05, f"{took * 1000:.1f} ms of processor time"
    assert models.QuerySet(Subtree).count() == 0
    assert stored_tree(0).root() == merkle.EMPTY_ROOT
