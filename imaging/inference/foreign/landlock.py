"""Confining this process to folders that are named: everything else on the machine's disks is out of its reach.

Landlock needs no privilege and cannot be taken off again; every thread that starts later has it. What it does not
cover is looking at names, sizes and times of files (stat). Source: landlock(7), linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from imaging.errors import BundleError

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_O_PATH = 0o10000000

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (1 << bit for bit in range(6, 13))
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

_FIRST = (1 << 13) - 1
_READ = _READ_FILE | _READ_DIR | _EXECUTE
# Neither links nor devices nor sockets: what is handed back is files and folders, and nothing else.
_OWN = _READ_FILE | _READ_DIR | _WRITE_FILE | _MAKE_REG | _MAKE_DIR | _REMOVE_FILE | _REMOVE_DIR
_ON_A_FILE = _READ_FILE | _WRITE_FILE | _EXECUTE | _TRUNCATE | _IOCTL_DEV

_NET_TCP = 0b11
_SCOPE = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """Return the kernel's Landlock version, 0 where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG)))
    return max(found, 0)


def restrict(*, readable: Sequence[Path], writable: Sequence[Path]) -> int:
    """Confine this thread, and all that it starts, to these folders and files; return the Landlock version used.

    ``readable``: may be read, and libraries loaded from them; one that does not exist is passed over. ``writable``:
    may be read and filled with files and folders. Raises BundleError ``confinement-missing``.
    """
    level = version()
    if not level:
        raise BundleError(
            "confinement-missing",
            "The kernel offers no Landlock (Linux 5.13 or newer, and not forbidden by the container): a bundle could "
            "read the service's files.",
        )
    handled = _FIRST | (_REFER if level >= 2 else 0) | (_TRUNCATE if level >= 3 else 0)
    handled |= _IOCTL_DEV if level >= 5 else 0
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = _Ruleset(handled, _NET_TCP if level >= 4 else 0, _SCOPE if level >= 6 else 0)
    # Older kernels know only the first fields of the structure and refuse a longer one that is not zero there.
    size = 8 if level < 4 else 16 if level < 6 else 24
    ruleset = int(libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0)))
    if ruleset < 0:
        raise _missing()
    try:
        for path in readable:
            _allow(libc, ruleset, path, _READ & handled)
        for path in writable:
            _allow(libc, ruleset, path, (_OWN | _TRUNCATE) & handled)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise _missing()
        if int(libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))) != 0:
            raise _missing()
    finally:
        os.close(ruleset)
    return level


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, _O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = rights if path.is_dir() else rights & _ON_A_FILE
        rule = _PathBeneath(allowed, descriptor)
        added = libc.syscall(
            _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
        )
        if int(added) != 0:
            raise _missing()
    finally:
        os.close(descriptor)


def _missing() -> BundleError:
    why = os.strerror(ctypes.get_errno())
    return BundleError("confinement-missing", f"The kernel does not confine the process to its folders ({why}).")
