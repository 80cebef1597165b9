"""What a decode child gives up before it sees the first untrusted byte. Called once, in the child.

Limits of memory, files and processes always hold. Three further walls are put up where the kernel and the
container allow it: a closed list of system calls (`syscalls.py`; nearly everywhere), Landlock (no path can
be opened any more, no TCP port reached) and an empty network namespace (needs privileges). Where none of
them can be had, Kubernetes' NetworkPolicy is the only wall around the network.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import Final

import msgspec

from imagelane.processor.syscalls import allow_only_listed

PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
CLONE_NEWNET: Final = 0x4000_0000

LANDLOCK_CREATE_RULESET: Final = 444  # the same number on every architecture
LANDLOCK_RESTRICT_SELF: Final = 446
LANDLOCK_GET_VERSION: Final = 1
FILE_RIGHTS_OF_VERSION: Final = ((1, 13), (2, 14), (3, 15), (5, 16))  # how many rights it knows
NETWORK_VERSION: Final = 4
NETWORK_RIGHTS: Final = 0b11  # bind and connect by TCP
SCOPES_VERSION: Final = 6
SCOPES: Final = 0b11  # signals to, and abstract sockets of, processes outside

MAX_DESCRIPTORS: Final = 32
FILTER: Final = "system calls"
"""The name of the one wall that is enough for files and network alike."""


class Confinement(msgspec.Struct, frozen=True):
    """The limits of one child."""

    memory_bytes: int
    cpu_seconds: int
    output_bytes: int


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def confine(limits: Confinement) -> list[str]:
    """Puts up all walls that can be had, and returns the names of those that could.

    Afterwards this process can read and write only what it was handed. Raises `OSError` if one of the
    walls that always hold does not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _silence()
    walls = ["limits"]
    if libc.unshare(CLONE_NEWNET) == 0:
        walls.append("network namespace")
    if _landlock(libc):
        walls.append("landlock")
    for limit, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.output_bytes),
        (resource.RLIMIT_NOFILE, MAX_DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))
    if allow_only_listed(libc):
        walls.append(FILTER)
    return walls


def limit_cpu(seconds: int) -> None:
    """The kernel ends this process (SIGXCPU) when it has used so much more CPU time from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _silence() -> None:
    """Standard output and error lead nowhere, however much a library may write there."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


def _landlock(libc: ctypes.CDLL) -> bool:
    """Gives up every right that the kernel's Landlock knows; False if it has none."""
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_GET_VERSION)
    if version < 1:
        return False
    rights = max(count for since, count in FILE_RIGHTS_OF_VERSION if since <= version)
    rules = _Ruleset(
        handled_access_fs=(1 << rights) - 1,
        handled_access_net=NETWORK_RIGHTS if version >= NETWORK_VERSION else 0,
        scoped=SCOPES if version >= SCOPES_VERSION else 0,
    )
    descriptor = libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if descriptor < 0:
        return False
    try:
        return bool(libc.syscall(LANDLOCK_RESTRICT_SELF, descriptor, 0) == 0)
    finally:
        os.close(descriptor)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "prctl")
