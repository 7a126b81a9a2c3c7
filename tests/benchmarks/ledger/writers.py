"""Many writers at once and a sealer: ``python -m tests.benchmarks.ledger.writers SECONDS ROUNDS WRITERS``.

The database is the one that the environment names. Prints one JSON object: for each way of writing, the events (for
``rows``, the changes) committed a second in every round, and how many events waited for the sealer at the end.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier, Event

import django

TOGETHER = 10
WARMING = 5
SECONDS_BETWEEN_SEALS = 1.0
PATIENCE_SECONDS = 120.0

FORK = multiprocessing.get_context("fork")


def main(seconds: float, rounds: int, writers: int) -> dict[str, object]:
    """Return the rates of all ways of writing; in each round every way has its turn."""
    django.setup()
    from django.db import connections

    # What the writers need is read before they are forked.
    from compliance import recording, sealing  # noqa: F401

    connections.close_all()
    ways: dict[str, Callable[[int], int]] = {"single": _one_event, "tens": _ten_events, "rows": _one_row}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(round(_turn(way, seconds, writers), 1))
    return {"a_second": rates, "unsealed": sealing.unsealed_count()}


def _turn(way: Callable[[int], int], seconds: float, number: int) -> float:
    ready, done = FORK.Barrier(number + 1), FORK.Event()
    counts = FORK.SimpleQueue()
    sealer = FORK.Process(target=_seal, args=(done,))
    writers = [FORK.Process(target=_write, args=(way, seconds, ready, counts)) for _ in range(number)]
    for process in (sealer, *writers):
        process.start()
    try:
        ready.wait(PATIENCE_SECONDS)
        for process in writers:
            process.join()
    finally:
        done.set()
        sealer.join()
    if any(process.exitcode for process in (sealer, *writers)):
        raise SystemExit("a writer or the sealer failed")
    found = [counts.get() for _ in writers]
    return sum(count for count, _ in found) / max(took for _, took in found)


def _write(way: Callable[[int], int], seconds: float, ready: Barrier, counts: SimpleQueue[tuple[int, float]]) -> None:
    try:
        for turn in range(WARMING):
            way(turn)
        ready.wait(PATIENCE_SECONDS)
    except BaseException:
        ready.abort()
        raise
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        count += way(count)
    counts.put((count, time.perf_counter() - began))


def _seal(done: Event) -> None:
    from compliance.sealing import seal

    while not done.wait(SECONDS_BETWEEN_SEALS):
        seal()


def _one_event(number: int) -> int:
    return _events(number, 1)


def _ten_events(number: int) -> int:
    return _events(number, TOGETHER)


def _events(first: int, count: int) -> int:
    from compliance.recording import SYSTEM, Happening, record_events

    happenings = [
        Happening(
            kind="case.viewed",
            actor=SYSTEM,
            reason="benchmark",
            subject=("case", str(number)),
            project_key="bench",
            payload={"page": "viewer", "blinded": True},
        )
        for number in range(first, first + count)
    ]
    return len(record_events(happenings))


def _one_row(number: int) -> int:
    from tests.benchmarks.ledger.overhead import recorded

    recorded(number)
    return 1


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
