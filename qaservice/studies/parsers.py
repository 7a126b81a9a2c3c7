"""The children that parse untrusted files for this process: kept between deliveries, each borrowed by one at a time."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from imaging.sandbox import Sandbox, SandboxLimits

PARSER_LIMITS = SandboxLimits(
    # Half a second is much for one slice; a batch holds a few, and a compressed multi-frame object takes some seconds.
    seconds=120.0,
    # A file of a gigabyte, and its pixels.
    memory_bytes=4 << 30,
)
"""For looking at files of a delivery."""

LABEL_LIMITS = SandboxLimits(
    # A segmentation of a whole chest, a hundred segments, takes some ten seconds and a gigabyte or two.
    seconds=180.0,
    memory_bytes=6 << 30,
)
"""For reading one label file on one series."""

VOLUME_LIMITS = SandboxLimits(
    # Two thousand compressed slices of 1024 x 1024.
    seconds=900.0,
    # The largest volume that is read, and one slice more.
    memory_bytes=6 << 30,
)
"""For decoding all slices of one series."""

CHILDREN = min(4, (os.cpu_count() or 1) + 1)
"""One more than processors, since each waits for the disk at times; more than four the disk does not keep up with."""

_lock = threading.Lock()
_idle: dict[tuple[int, SandboxLimits, int], list[Sandbox]] = {}


@contextmanager
def parsers(limits: SandboxLimits, *, children: int) -> Iterator[Sandbox]:
    """Lend a sandbox to this thread; its children stay for the next borrower in this process."""
    # The process id is part of the key: after a fork the parent's children are the parent's.
    key = (os.getpid(), limits, children)
    with _lock:
        waiting = _idle.get(key)
        sandbox = waiting.pop() if waiting else Sandbox(limits, children=children)
    try:
        yield sandbox
    finally:
        with _lock:
            _idle.setdefault(key, []).append(sandbox)


@atexit.register
def _end_all() -> None:
    with _lock:
        mine = [sandbox for key, waiting in _idle.items() if key[0] == os.getpid() for sandbox in waiting]
        _idle.clear()
    for sandbox in mine:
        sandbox.close()
