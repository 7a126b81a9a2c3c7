"""The parent's side of a sandbox: children kept for many calls, ended and replaced after a fault."""

from __future__ import annotations

import fcntl
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from imaging.errors import ImagingError, UnreadableFile
from imaging.sandbox import child as protocol
from imaging.sandbox import wire
from imaging.sandbox.limits import SandboxLimits

T = TypeVar("T")
S = TypeVar("S")

TOOK_TOO_LONG = "parser-took-too-long"
OUT_OF_MEMORY = "parser-out-of-memory"
DIED = "parser-died"

_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from imaging.sandbox.child import serve; serve()"

_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""All that a child may know of the environment; a site's passwords are not among it."""

_REUSED_BYTES = 16 << 20
"""Up to here a child's memory is used again and again; what is larger comes from the kernel and goes back to it."""

_START_SECONDS = 60.0
"""Added to a child's first call, which waits for the interpreter and its libraries."""


_PIPE_BYTES = 1 << 20
"""The most that an ordinary user may ask for: a file's bytes pass in one or two turns."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What came of one item: its value, or the error that was raised for it."""

    value: T | None
    error: ImagingError | None

    def result(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where T holds None


class Sandbox:
    """Child processes that run module-level functions within ``limits``; at most ``children`` at once.

    Children start when they are first needed and serve until the block ends, the parent dies, or a call goes wrong.
    They inherit no descriptors, no threads and no environment but the locale. Not for use by two threads at once, nor
    in a process that forked after the first call.
    """

    def __init__(self, limits: SandboxLimits, *, children: int = 1) -> None:
        if children < 1:
            raise ValueError("a sandbox needs at least one child")
        self._limits = limits
        self._children = [_Child() for _ in range(children)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the children that are running."""
        return tuple(child.process.pid for child in self._children if child.process is not None)

    def start(self) -> None:
        """Start every child now, without waiting for them, so that the first calls find them warm."""
        for child in self._children:
            child.start()

    def close(self) -> None:
        """End every child. The sandbox can be used again and then starts new ones."""
        for child in self._children:
            child.end()

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Return ``function(*arguments)``, run in a child. Function and arguments must be picklable by name and value.

        Raises UnreadableFile ``parser-took-too-long``, ``parser-out-of-memory`` or ``parser-died`` where the child
        went beyond its limits, ended, or raised anything but an ImagingError; every ImagingError comes through with
        its class, code, message and subjects. An answer may hold plain data, numpy arrays, and instances of classes
        of ``imaging`` and of the function's own top-level package; anything else counts as ``parser-died``.
        """
        child = self._children[0]
        child.begin(_call(function, arguments, self._limits))
        answer: Answer[T] = _settled(child, _packages(function))
        return answer.result()

    def map(self, function: Callable[[S], T], items: Iterable[S]) -> Generator[Answer[T], None, None]:
        """Give the answer for each item, in the items' order, worked on by all children at once.

        Items are taken from the iterable as children become free, and a few ahead of the oldest that is not answered.
        An item that ends its child is answered with the error that ``call`` would raise; the others go on.
        """
        packages = _packages(function)
        source = enumerate(items)
        answers: dict[int, Answer[T]] = {}
        busy: dict[int, tuple[int, _Child]] = {}
        free = list(self._children)
        due = 0
        exhausted = False
        try:
            while True:
                while free and not exhausted and len(answers) + len(busy) < _AHEAD * len(self._children):
                    following = next(source, None)
                    if following is None:
                        exhausted = True
                        break
                    number, item = following
                    child = free.pop()
                    child.begin(_call(function, (item,), self._limits))
                    busy[child.descriptor] = (number, child)
                if not busy and not answers:
                    return
                for descriptor in _ready([child for _, child in busy.values()]) if due not in answers else ():
                    number, child = busy.pop(descriptor)
                    answers[number] = _settled(child, packages)
                    free.append(child)
                if due in answers:
                    yield answers.pop(due)
                    due += 1
        finally:
            # Left early: what still runs would answer the next call with this one's result.
            for _, child in busy.values():
                child.end()


_AHEAD = 4
"""Items begun or answered, for each child, beyond the oldest unanswered one: a slow item must not stall the others."""


def _call(function: Callable[..., Any], arguments: tuple[object, ...], limits: SandboxLimits) -> protocol.Call:
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or "<" in name:
        raise ValueError(f"{module}.{name} cannot be found by name in another process")
    return protocol.Call(module, name, arguments, limits.seconds, limits.memory_bytes)


def _packages(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset({"imaging", function.__module__.partition(".")[0]})


class _Child:
    """One child process, its pipes, and the call that it is at."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.deadline = 0.0
        self.call: protocol.Call | None = None
        self._served = 0

    def start(self) -> None:
        if self.process is not None:
            return
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # One thread a child: processor time then never outruns the clock, and stacks take no address space.
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        # A file's bytes are given back to the allocator, not to the kernel, which would clear every page anew.
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(_REUSED_BYTES), "MALLOC_TRIM_THRESHOLD_": str(8 * _REUSED_BYTES)}
        command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path)]
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and a constant
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        if self.process.stdin is not None:
            # This end alone: a child that stops reading must not hold its parent beyond the deadline.
            os.set_blocking(self.process.stdin.fileno(), False)
        self._served = 0

    @property
    def channel(self) -> wire.Channel:
        process = self.process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the child is not running")
        return wire.Channel(reading=process.stdout.fileno(), writing=process.stdin.fileno())

    @property
    def descriptor(self) -> int:
        return self.channel.reading

    def begin(self, call: protocol.Call) -> None:
        """Send a call, to a new child if the one at hand has gone since its last."""
        frame = wire.pack(call)
        # Its closed pipe tells sooner than its status, which waits for the last of its threads.
        if self.process is not None and self._ended() is not None:
            self.end()
        self.start()
        self.call = call
        self.deadline = time.monotonic() + call.seconds + (0.0 if self._served else _START_SECONDS)
        with suppress(wire.ChannelClosed, wire.DeadlinePassed):
            # A child that does not take its call is found out by the answer that fails to come.
            self.channel.send(frame, self.deadline)

    def _receive(self) -> list[bytearray]:
        try:
            return self.channel.receive(self.deadline)
        except wire.ChannelClosed:
            # SIGKILL comes from outside (an operator, a kernel short of memory) and may show after the call was sent.
            gone = self.process is not None and self._ended() in (protocol.IDLE_STATUS, -signal.SIGKILL)
            if not (gone and self._served and self.call is not None):
                raise
            self.end()
        # The call and the child's going crossed; a new child has served nobody, so this happens once.
        self.begin(self.call)
        return self.channel.receive(self.deadline)

    def answer(self, packages: frozenset[str]) -> tuple[str, Any]:
        """Return (kind, value) of the call's reply. Raises UnreadableFile, having ended the child."""
        try:
            kind, value, retire = wire.unpack_answer(self._receive(), packages)
        except wire.DeadlinePassed:
            self.end()
            raise self._too_long() from None
        except wire.ChannelClosed:
            status = self.end()
            if status in (-signal.SIGXCPU, -signal.SIGALRM):
                raise self._too_long() from None
            how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            raise UnreadableFile(DIED, f"The process that read the file ended by itself ({how}).") from None
        except Exception as error:  # a reply that was tampered with fails to unpickle in any way
            self.end()
            raise UnreadableFile(
                DIED, f"The process that read the file gave an answer that is not taken ({type(error).__name__})."
            ) from None
        self._served += 1
        if retire:
            self.end()
        return kind, value

    def _too_long(self) -> UnreadableFile:
        seconds = self.call.seconds if self.call is not None else math.nan
        return UnreadableFile(TOOK_TOO_LONG, f"Reading the file took more than {seconds:g} seconds.")

    def end(self) -> int:
        """End the child and all that it started; return its exit status, negative for a signal."""
        process = self.process
        if process is None:
            return 0
        self._ended()
        self.process = None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        return status

    def _ended(self) -> int | None:
        """Return the exit status of a child that has closed its pipe: it is about to end, and its status says why."""
        process = self.process
        if process is None or process.stdout is None:
            return None
        poll = select.poll()
        poll.register(process.stdout.fileno(), 0)
        if poll.poll(0):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        return process.poll()


def _settled(child: _Child, packages: frozenset[str]) -> Answer[Any]:
    call = child.call
    memory = call.memory_bytes if call is not None else 0
    try:
        kind, value = child.answer(packages)
    except ImagingError as error:
        return Answer(None, error)
    except BaseException:
        # Interrupted while waiting: the answer that is yet to come must not be taken for the next call's.
        child.end()
        raise
    if kind == protocol.DONE:
        return Answer(value, None)
    if kind == protocol.REFUSED:
        return Answer(None, _error_again(*value))
    if kind == protocol.OUT_OF_MEMORY:
        return Answer(None, UnreadableFile(OUT_OF_MEMORY, f"Reading the file took more than {memory} bytes of memory."))
    return Answer(None, UnreadableFile(DIED, f"The parser failed on the file ({value})."))


def _error_again(module: str, name: str, code: str, message: str, subjects: tuple[str, ...]) -> ImagingError:
    """Return the error that a child raised, of its own class where this process knows that class."""
    kind = getattr(sys.modules.get(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, ImagingError) and kind.__init__ is ImagingError.__init__):
        kind = ImagingError
    return kind(code, message, subjects=subjects)


def _ready(children: list[_Child]) -> list[int]:
    """Return the descriptors of children that have answered, ended or run out of time; waits for at least one."""
    poll = select.poll()
    for child in children:
        poll.register(child.descriptor, select.POLLIN)
    first = min(child.deadline for child in children)
    ready = {descriptor for descriptor, _ in poll.poll(max(0.0, first - time.monotonic()) * 1000)}
    late = {child.descriptor for child in children if child.deadline <= time.monotonic()}
    return sorted(ready | late)
