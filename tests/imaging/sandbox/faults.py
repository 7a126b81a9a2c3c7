"""Functions that a sandbox's child runs in tests: what hostile files make parsers do."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.errors import GeometryError, UnreadableFile
from imaging.sandbox.child import IDLE_STATUS


@dataclass(frozen=True, slots=True)
class Reading:
    """What a parser of these tests returns."""

    name: str
    values: NDArray[np.int16]


class Trap:
    """Pickles as a call of whatever function it is given."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._call


def double(value: int) -> int:
    return 2 * value


def own_pid() -> int:
    return os.getpid()


def environment() -> dict[str, str]:
    return dict(os.environ)


def reading(name: str, size: int) -> Reading:
    return Reading(name, np.arange(size, dtype=np.int16))


def total_of(data: bytes) -> int:
    return sum(data[::4096])


def allocate(count: int) -> int:
    return len(bytearray(count))


def allocate_array(count: int) -> int:
    return int(np.ones(count, dtype=np.uint8).sum())


def loop_for_ever() -> None:
    while True:
        pass


def loop_inside_a_codec() -> None:
    # Holds the interpreter's lock for good, as a codec that never returns does.
    ctypes.PyDLL(None).sleep(1000)


def sleep_for_ever() -> None:
    time.sleep(10_000)


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(3)


def leave_as_if_idle_unless(pid: int) -> str:
    if os.getpid() == pid:
        os._exit(IDLE_STATUS)
    return "served by another child"


def print_rubbish(value: int) -> int:
    sys.stdout.write("rubbish" * 1000)
    sys.stdout.flush()
    os.write(1, b"\x00" * 5000)
    os.write(2, b"more of it")
    return value


def refuse_geometry() -> None:
    raise GeometryError("missing-slices", "Two slices are missing.", subjects=("1.2.3", "1.2.4"))


def refuse_or_double(value: int) -> int:
    if value == 3:
        raise UnreadableFile("truncated", "The file is cut off.")
    if value == 5:
        segfault()
    if value == 7:
        loop_for_ever()
    return 2 * value


def fail_quoting_a_name() -> None:
    raise IndexError("DOE^JANE")


def fork_and_both_return(value: int) -> int:
    os.fork()
    return value


def fork_and_leave_a_child() -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(10_000)
    return pid


def trap(marker: str) -> Trap:
    return Trap(os.system, f"touch {marker}")


def trap_in_own_package(marker: str) -> Trap:
    return Trap(touch, marker)


def touch(marker: str) -> None:
    Path(marker).touch()


def lambda_result() -> object:
    return lambda: None
