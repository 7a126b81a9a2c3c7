"""The walls around a bundle's code: no network, no files but its own, no other processes, bounded time and memory.

Walls go up before any library is loaded, so that every thread stands behind them. They are the kernel's, and hold
whatever Python code does; where one of the needed ones cannot be had, nothing runs.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import struct
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imaging.errors import BundleError
from imaging.inference.foreign import landlock, seccomp

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC, _CLONE_NEWUTS = 0x10000000, 0x40000000, 0x08000000, 0x04000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITIES_V3 = 0x20080522
_EXTRA_TASKS = 256
_OPEN_FILES = 512

SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/self",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
)
"""What an interpreter and its numerical libraries look at on a Linux system; nothing of it says who anybody is."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """By what means a process is confined, in words, as they are recorded with every result."""

    network: tuple[str, ...]
    files: tuple[str, ...]
    processes: tuple[str, ...]


def confine(*, readable: Sequence[Path], writable: Sequence[Path], file_bytes: int) -> Confinement:
    """Put up all walls around this process, for good. Call it before any thread starts.

    ``readable`` and ``writable`` come on top of the interpreter's own libraries. ``file_bytes``: the largest file
    that it may write. Raises BundleError ``confinement-missing`` where network, files or processes cannot be kept out.
    """
    network: list[str] = []
    if _own_namespaces():
        network.append("network namespace of its own")
    _give_up_capabilities()
    _limit(file_bytes)
    _end_with_parent()
    version = landlock.restrict(readable=[*readable, *interpreter_paths()], writable=writable)
    seccomp.install()
    if _socket_is_refused():
        network.insert(0, "system-call filter: no sockets")
    if not network:
        raise BundleError("confinement-missing", "The kernel offers no way to keep a process off the network.")
    return Confinement(
        network=tuple(network),
        files=(f"Landlock version {version}: its own folder and the libraries",),
        processes=("system-call filter: no new processes, none reached",),
    )


def bound_memory(*, memory_bytes: int) -> None:
    """Let this process take ``memory_bytes`` of address space on top of what it holds now, for good."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    size = pages * resource.getpagesize() + memory_bytes
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        resource.setrlimit(kind, (size, size))


def bound_processor_time(*, seconds: int) -> None:
    """Let this process use so much more processor time, over all its threads; then the kernel ends it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(usage.ru_utime + usage.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))


def interpreter_paths() -> tuple[Path, ...]:
    """Return the folders from which this interpreter loads code; of this project only the analysis core."""
    names = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    names |= {f"{prefix}/lib" for prefix in (sys.base_prefix, sys.prefix)}
    # Where packages are installed; never a folder of sources, beside which a site may keep its data.
    names |= {entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")}
    names |= {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", *SYSTEM_FILES}
    package = Path(__file__).resolve().parents[2]
    config = Path(sys.prefix) / "pyvenv.cfg"
    return (package, config, *(Path(name) for name in sorted(names) if name))


def _own_namespaces() -> bool:
    """Move to user, network and IPC namespaces of its own; False where the kernel or the container forbids it."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS) != 0:
        return False
    with suppress(OSError):
        # The same numbers inside as outside, so that the files it is given are still its own.
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    return True


def _give_up_capabilities() -> None:
    """Keep none of root's privileges, whoever started the process."""
    number = _CAPSET.get(os.uname().machine)
    if number is None:
        return
    header = struct.pack("=Ii", _CAPABILITIES_V3, 0)
    ctypes.CDLL(None, use_errno=True).syscall(number, header, bytes(24))


def _limit(file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump holds a patient's images
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    tasks = _tasks_of_this_user() + _EXTRA_TASKS
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = tasks if hard == resource.RLIM_INFINITY else min(tasks, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _tasks_of_this_user() -> int:
    """Return the number of threads that run as this user: the kernel counts them together."""
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if entry.stat().st_uid == os.getuid():
                    count += sum(1 for _ in (entry / "task").iterdir())
    return count


def _end_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _socket_is_refused() -> bool:
    """Try it, instead of believing that the filter works."""
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        try:
            socket.socket(family).close()
        except PermissionError:
            continue
        except OSError:
            # Not offered by this kernel at all, which is as good.
            continue
        return False
    return True
