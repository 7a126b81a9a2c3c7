"""A system-call filter for this process: no sockets, no new processes, no reach into other processes. Linux only.

The filter is a list of refusals on top of what the system allows. It cannot be taken off again, and every thread that
starts later has it. Source: seccomp(2), bpf(2), and the kernel's system-call tables for the two machines named here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from imaging.errors import BundleError

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
CLONE_THREAD = 0x00010000

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

# Offsets in struct seccomp_data; the low half of an argument comes first on both machines.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


@dataclass(frozen=True, slots=True)
class _Machine:
    """System-call numbers of one machine, and what the kernel calls it in ``seccomp_data``."""

    audit: int
    numbers: dict[str, int]


_X86_64 = _Machine(
    audit=0xC000003E,
    numbers={
        "socket": 41,
        "clone": 56,
        "fork": 57,
        "vfork": 58,
        "execve": 59,
        "kill": 62,
        "chmod": 90,
        "fchmod": 91,
        "chown": 92,
        "fchown": 93,
        "lchown": 94,
        "ptrace": 101,
        "syslog": 103,
        "pivot_root": 155,
        "chroot": 161,
        "acct": 163,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "reboot": 169,
        "init_module": 175,
        "quotactl": 179,
        "setxattr": 188,
        "lsetxattr": 189,
        "fsetxattr": 190,
        "tkill": 200,
        "tgkill": 234,
        "rt_sigqueueinfo": 129,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "fchownat": 260,
        "fchmodat": 268,
        "unshare": 272,
        "rt_tgsigqueueinfo": 297,
        "perf_event_open": 298,
        "prlimit64": 302,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "finit_module": 313,
        "memfd_create": 319,
        "bpf": 321,
        "execveat": 322,
        "userfaultfd": 323,
        "pidfd_send_signal": 424,
        "io_uring_setup": 425,
        "open_tree": 428,
        "move_mount": 429,
        "fsopen": 430,
        "pidfd_open": 434,
        "clone3": 435,
        "pidfd_getfd": 438,
        "mount_setattr": 442,
        "fchmodat2": 452,
    },
)

_AARCH64 = _Machine(
    audit=0xC00000B7,
    numbers={
        "socket": 198,
        "clone": 220,
        "execve": 221,
        "kill": 129,
        "fchmod": 52,
        "fchmodat": 53,
        "fchownat": 54,
        "fchown": 55,
        "ptrace": 117,
        "syslog": 116,
        "pivot_root": 41,
        "chroot": 51,
        "acct": 89,
        "mount": 40,
        "umount2": 39,
        "swapon": 224,
        "reboot": 142,
        "init_module": 105,
        "quotactl": 60,
        "setxattr": 5,
        "lsetxattr": 6,
        "fsetxattr": 7,
        "tkill": 130,
        "tgkill": 131,
        "rt_sigqueueinfo": 138,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "unshare": 97,
        "rt_tgsigqueueinfo": 240,
        "perf_event_open": 241,
        "prlimit64": 261,
        "name_to_handle_at": 264,
        "open_by_handle_at": 265,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "finit_module": 273,
        "memfd_create": 279,
        "bpf": 280,
        "execveat": 281,
        "userfaultfd": 282,
        "pidfd_send_signal": 424,
        "io_uring_setup": 425,
        "open_tree": 428,
        "move_mount": 429,
        "fsopen": 430,
        "pidfd_open": 434,
        "clone3": 435,
        "pidfd_getfd": 438,
        "mount_setattr": 442,
        "fchmodat2": 452,
    },
)

_MACHINES = {"x86_64": _X86_64, "aarch64": _AARCH64}

_TO_ITSELF = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
"""Calls whose first argument is a process: allowed at this one, which is how a C library aborts."""

_READING_ONLY = ("prlimit64",)
"""Allowed for this process (0): its hard limits cannot be raised without a privilege that it does not have."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def machine_is_known() -> bool:
    """Tell whether there is a filter for this machine."""
    return platform.system() == "Linux" and platform.machine() in _MACHINES


def filter_program(*, machine: str, own_pid: int) -> bytes:
    """Return the filter as BPF instructions (8 bytes each) for ``machine`` (as ``platform.machine`` names it).

    Raises KeyError for a machine without a table.
    """
    table = _MACHINES[machine]
    refuse = _ERRNO | errno.EPERM
    lines = [
        _line(_LOAD, 0, 0, _ARCHITECTURE),
        _line(_JUMP_EQUAL, 1, 0, table.audit),
        _line(_RETURN, 0, 0, _KILL_PROCESS),
        _line(_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        # The x32 interface has numbers of its own, which would pass by the table.
        lines += [_line(_JUMP_AT_LEAST, 0, 1, 0x40000000), _line(_RETURN, 0, 0, _KILL_PROCESS)]
    for name, number in table.numbers.items():
        if name == "clone":
            # Threads are needed; anything else that clone makes is a process.
            body = [
                _line(_LOAD, 0, 0, _FIRST_ARGUMENT),
                _line(_JUMP_ANY_BIT, 0, 1, CLONE_THREAD),
                _line(_RETURN, 0, 0, _ALLOW),
                _line(_RETURN, 0, 0, refuse),
            ]
        elif name == "clone3":
            # Its flags lie in memory where no filter sees them; told that it does not exist, C libraries use clone.
            body = [_line(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
        elif name in _TO_ITSELF or name in _READING_ONLY:
            body = [
                _line(_LOAD, 0, 0, _FIRST_ARGUMENT),
                _line(_JUMP_EQUAL, 0, 1, own_pid if name in _TO_ITSELF else 0),
                _line(_RETURN, 0, 0, _ALLOW),
                _line(_RETURN, 0, 0, refuse),
            ]
        else:
            body = [_line(_RETURN, 0, 0, refuse)]
        lines += [_line(_JUMP_EQUAL, 0, len(body), number), *body]
    lines.append(_line(_RETURN, 0, 0, _ALLOW))
    return b"".join(lines)


def install() -> None:
    """Put the filter on this thread and all that it starts. Raises BundleError ``confinement-missing``."""
    if not machine_is_known():
        raise BundleError("confinement-missing", f"There is no system-call filter for {platform.machine()}.")
    libc = ctypes.CDLL(None, use_errno=True)
    code = filter_program(machine=platform.machine(), own_pid=os.getpid())
    program = _Program(len(code) // 8, code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise BundleError("confinement-missing", "The kernel does not let a process give up new privileges.")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        why = os.strerror(ctypes.get_errno())
        raise BundleError("confinement-missing", f"The kernel takes no system-call filter ({why}).")


def _line(code: int, jump_true: int, jump_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, value)
