"""The child's side of a sandbox: wait for a call, run it within its bounds, answer, and wait again."""

from __future__ import annotations

import faulthandler
import importlib
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from imaging.errors import ImagingError
from imaging.sandbox import wire

DONE = "done"
REFUSED = "refused"
OUT_OF_MEMORY = "out-of-memory"
FAILED = "failed"

IDLE_SECONDS = 300.0
"""A child that is not called for so long gives its memory back."""

IDLE_STATUS = 75
"""Exit status of a child that ended because nobody called it."""

_GRACE_SECONDS = 0.5
"""After its time the parent ends the child; this much later the kernel does it, should the parent be gone."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it is sent: a function by the module and name it is found under, and its bounds."""

    module: str
    name: str
    arguments: tuple[Any, ...]
    seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call. ``value`` is the result, an error's (module, class, code, message, subjects), or where
    it failed.

    ``retire``: the child holds more memory than it should, or left processes behind; it must not serve again.
    """

    kind: str
    value: Any
    retire: bool


def serve() -> None:
    """Serve calls from standard input until it closes. Standard streams are taken away from whoever is called."""
    channel = _private_channel()
    # Core dumps hold patients' images.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()
    _watch_parent(channel.reading)
    own = os.getpid()
    while True:
        try:
            call: Call = wire.unpack(channel.receive(time.monotonic() + IDLE_SECONDS))
        except wire.ChannelClosed:
            os._exit(0)
        except wire.DeadlinePassed:
            os._exit(IDLE_STATUS)
        reply = _answer(call)
        if os.getpid() != own:
            # What was called has forked and come back in the copy, which has nothing to say here.
            os._exit(0)
        _send(channel, reply)


def _private_channel() -> wire.Channel:
    """Move the pipes out of reach: what a parser prints must not reach the protocol, nor the logs."""
    channel = wire.Channel(reading=os.dup(0), writing=os.dup(1))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return channel


def _watch_parent(descriptor: int) -> None:
    """End this process when the parent's end of the pipe closes, also in the middle of a call."""

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # only POLLHUP and POLLERR, which are always reported
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _answer(call: Call) -> Reply:
    try:
        function = _find(call.module, call.name)
    except (ImportError, AttributeError) as error:
        return Reply(FAILED, f"{type(error).__name__} while {call.module}.{call.name} was looked up", retire=True)
    held = _resident_bytes()
    _bound(call)
    try:
        reply = _run(function, call.arguments)
    finally:
        _unbind()
    grown = _resident_bytes() - held > call.memory_bytes
    return Reply(reply.kind, reply.value, reply.retire or grown or _has_children())


def _find(module: str, name: str) -> Callable[..., Any]:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def _run(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Reply:
    try:
        return Reply(DONE, function(*arguments), retire=False)
    except ImagingError as error:
        kind = type(error)
        return Reply(
            REFUSED, (kind.__module__, kind.__name__, error.code, error.message, tuple(error.subjects)), retire=False
        )
    except MemoryError:
        return Reply(OUT_OF_MEMORY, "", retire=True)
    # A parser given hostile bytes raises anything; its text may quote a header, so only its kind and place are told.
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        return Reply(FAILED, f"{type(error).__name__} in {place}", retire=not isinstance(error, Exception))


def _send(channel: wire.Channel, reply: Reply) -> None:
    try:
        frame = wire.pack((reply.kind, reply.value, reply.retire))
    except Exception as error:  # pickling runs the code of whatever was returned
        frame = wire.pack((FAILED, f"{type(error).__name__} while the result was sent", True))
    try:
        channel.send(frame, None)
    except wire.ChannelClosed:
        os._exit(0)


def _bound(call: Call) -> None:
    size = int(_memory_pages()[0]) * resource.getpagesize() + call.memory_bytes
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        _set_soft(kind, size)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    _set_soft(resource.RLIMIT_CPU, ceil(used + call.seconds) + 1)
    # SIGALRM and SIGXCPU keep their default action, which ends a process even inside a codec that never returns.
    signal.setitimer(signal.ITIMER_REAL, call.seconds + _GRACE_SECONDS)


def _unbind() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU):
        _set_soft(kind, resource.RLIM_INFINITY)


def _set_soft(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
        value = hard
    resource.setrlimit(kind, (value, hard))


def _memory_pages() -> list[str]:
    return Path("/proc/self/statm").read_text(encoding="ascii").split()


def _resident_bytes() -> int:
    return int(_memory_pages()[1]) * resource.getpagesize()


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    sys.exit("a sandbox starts its children itself")
