"""What passes between a sandbox and its children: pickles in frames, large buffers beside them instead of within.

A frame is ``count of parts`` and each part's length as unsigned 64-bit integers in network order, then the parts. The
first part is the pickle (protocol 5), the others are its out-of-band buffers.
"""

from __future__ import annotations

import io
import pickle
import select
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import read, write
from typing import Any

_NUMBER = struct.Struct("!Q")
_MOST_PARTS = 1 << 20
_CHUNK = 1 << 20

# What an answer may name besides the classes of the package that answered: constructors that only hold data.
_PLAIN = frozenset(
    {
        ("builtins", name)
        for name in (
            "bytearray",
            "complex",
            "frozenset",
            "set",
            "slice",
            "range",
            "int",
            "float",
            "str",
            "bytes",
            "list",
        )
    }
    | {("collections", name) for name in ("OrderedDict", "Counter", "deque")}
    | {("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")}
    | {("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID"), ("uuid", "SafeUUID")}
    | {("pathlib", "PosixPath"), ("pathlib", "PurePosixPath")}
    | {("numpy", "dtype"), ("numpy", "ndarray")}
    | {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
    | {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
)


class ChannelClosed(Exception):
    """The other end has gone."""


class DeadlinePassed(Exception):
    """The other end did not answer, or not to the end, in time."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Two pipe ends, by descriptor. ``deadline`` arguments are of ``time.monotonic``; None waits for ever."""

    reading: int
    writing: int

    def send(self, frame: Sequence[bytes | memoryview], deadline: float | None) -> None:
        """Write one frame. Raises ChannelClosed or DeadlinePassed."""
        head = [_NUMBER.pack(len(frame)), *(_NUMBER.pack(len(part)) for part in frame)]
        for part in (b"".join(head), *frame):
            self._write(memoryview(part), deadline)

    def receive(self, deadline: float | None) -> list[bytearray]:
        """Read one frame. Raises ChannelClosed or DeadlinePassed."""
        (count,) = _NUMBER.unpack(self._read(_NUMBER.size, deadline))
        if count > _MOST_PARTS:
            raise ChannelClosed
        lengths = [_NUMBER.unpack(self._read(_NUMBER.size, deadline))[0] for _ in range(count)]
        return [self._read(length, deadline) for length in lengths]

    def _write(self, data: memoryview, deadline: float | None) -> None:
        while data:
            _wait(self.writing, select.POLLOUT, deadline)
            try:
                written = write(self.writing, data)
            except BlockingIOError:
                continue
            except OSError as error:
                raise ChannelClosed from error
            data = data[written:]

    def _read(self, count: int, deadline: float | None) -> bytearray:
        # Grows as the bytes come: a length that is a lie must not take memory.
        data = bytearray()
        while len(data) < count:
            _wait(self.reading, select.POLLIN, deadline)
            piece = read(self.reading, min(_CHUNK, count - len(data)))
            if not piece:
                raise ChannelClosed
            data += piece
        return data


def _wait(descriptor: int, event: int, deadline: float | None) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    remaining = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(remaining):
        raise DeadlinePassed


def pack(value: object) -> list[bytes | memoryview]:
    """Return the frame of a value. Raises what pickling it raises."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [body, *(buffer.raw() for buffer in buffers)]


def unpack(frame: Sequence[bytearray]) -> Any:
    """Return the value of a frame that comes from a trusted sender."""
    return pickle.loads(frame[0], buffers=frame[1:])  # noqa: S301 - a child trusts the process that started it


def unpack_answer(frame: Sequence[bytearray], packages: frozenset[str]) -> Any:
    """Return the value of a frame whose sender has read hostile bytes: only plain data and classes of ``packages``.

    Raises pickle.UnpicklingError for anything else.
    """
    return _AnswerUnpickler(io.BytesIO(frame[0]), frame[1:], packages).load()


class _AnswerUnpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, buffers: Sequence[bytearray], packages: frozenset[str]) -> None:
        super().__init__(stream, buffers=buffers)
        self._packages = packages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        if module.partition(".")[0] in self._packages and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"an answer may not name {module}.{name}")
