"""Stretches read ahead by processes of their own, each over its own connection: verification is bound by the processor.

Each stretch is judged as by one process: whether it follows what is before it, and what is wrong with it, is told where
they are put together.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager

from django.db import connection, connections

from compliance.intact import Reader, Stretch

AHEAD = 8
SMALL = 20_000
"""A ledger of fewer events is read before processes have begun."""

Place = tuple[int, int]


class ReadAhead:
    """Reads the stretches of a ledger of ``size`` events as a ``Reader`` does, and the following ones meanwhile."""

    def __init__(self, pool: Executor, *, size: int) -> None:
        self._pool, self._size = pool, size
        self._waiting: dict[Place, Future[Stretch | None]] = {}

    def stretch(self, start: int, stop: int) -> Stretch | None:
        """Return what ``Reader.stretch`` does; what other processes cannot read is read by this one."""
        if (start, stop) not in self._waiting:
            # Where something is wrong, the walk goes on by other steps.
            for future in self._waiting.values():
                future.cancel()
            self._waiting.clear()
        try:
            for first in range(start, self._size, stop - start)[:AHEAD]:
                place = first, min(first + stop - start, self._size)
                if place not in self._waiting:
                    self._waiting[place] = self._pool.submit(_stretch, *place)
            return self._waiting.pop((start, stop)).result()
        except BrokenExecutor:
            return _stretch(start, stop)


@contextmanager
def stretches(*, size: int, processes: int) -> Iterator[Reader | ReadAhead]:
    """Give what reads the stretches of a ledger of ``size`` events.

    Several processes read where there are several to be used, the ledger is not small, and its state is not one that
    an open transaction alone can see. On SQLite one process reads.
    """
    if processes < 2 or size < SMALL or connection.vendor != "postgresql" or connection.in_atomic_block:
        yield Reader()
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_prefer_indexes) as pool:
        # All of them begin with the first task, and would share a connection that is open then.
        connections.close_all()
        pool.submit(_reader).exception()
        yield ReadAhead(pool, size=size)


def _stretch(start: int, stop: int) -> Stretch | None:
    return _reader().stretch(start, stop)


@functools.cache
def _reader() -> Reader:
    return Reader()


def _prefer_indexes() -> None:
    """Have a process find rows by index: PostgreSQL would rather read all of a table, though it holds it in memory."""
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
