"""Letting one thing run ahead of another: a generator in a thread of its own, a bounded way in front."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

MOST_WAITING = 512
_LOOKS_EVERY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None


def run_ahead(source: Generator[T, None, None]) -> Generator[T, None, None]:
    """Give what ``source`` gives, made in a thread of its own while the caller is busy with what came before.

    What the source raises is raised here, in its place. Closing this closes the source, in its thread, and waits. The
    source must not touch the database: a connection belongs to one thread.
    """
    made: queue.Queue[T | _Ended] = queue.Queue(MOST_WAITING)
    leaving = threading.Event()

    def put(item: T | _Ended) -> None:
        while not leaving.is_set():
            try:
                made.put(item, timeout=_LOOKS_EVERY_SECONDS)
            except queue.Full:
                continue
            return

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in source:
                put(item)
                if leaving.is_set():
                    break
        except BaseException as caught:
            error = caught
        finally:
            source.close()
        put(_Ended(error))

    thread = threading.Thread(target=work, name="run-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, _Ended):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        leaving.set()
        thread.join()
