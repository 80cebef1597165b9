"""The wall that every Linux has: a closed list of system calls, for a process that decodes and nothing else.

A seccomp filter needs no privileges, holds in a restricted Kubernetes pod (its default profile lets one be
set), and cannot be taken down again. What is not on the list fails with EPERM: opening a file by its name,
sockets of any kind, new processes, other processes' memory and signals.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from typing import Final

PR_SET_SECCOMP: Final = 22
SECCOMP_MODE_FILTER: Final = 2

# What a filter may look at: `struct seccomp_data`. Both machines below are little-endian.
NUMBER_AT: Final = 0
MACHINE_AT: Final = 4
FIRST_ARGUMENT_AT: Final = 16

LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
ANSWER: Final = 0x06  # BPF_RET | BPF_K
ALLOW: Final = 0x7FFF_0000
KILL_PROCESS: Final = 0x8000_0000
REFUSE: Final = 0x0005_0000 | errno.EPERM

MACHINES: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

_ON_BOTH: Final[dict[str, tuple[int, int]]] = {
    # what it was handed: read, written, measured, closed
    "read": (0, 63),
    "write": (1, 64),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "lseek": (8, 62),
    "fstat": (5, 80),
    "newfstatat": (262, 79),  # the way in which glibc measures a descriptor
    "close": (3, 57),
    "getcwd": (79, 17),  # Pillow asks before it saves
    # its socket
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    # memory
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "madvise": (28, 233),
    "brk": (12, 214),
    # itself
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrusage": (98, 165),
    "clock_gettime": (228, 113),
    "getrandom": (318, 278),
    "sigaltstack": (131, 132),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_PRLIMIT: Final = (302, 261)
"""Allowed for the process itself only, or a child could take its parent's limits away or down."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def allow_only_listed(libc: ctypes.CDLL) -> bool:
    """From now on this process makes listed system calls only; False where that cannot be had.

    It needs `PR_SET_NO_NEW_PRIVS`, or privileges, and a machine whose calls are known here.
    """
    if platform.machine() not in MACHINES or sys.byteorder != "little":
        return False
    instructions = _instructions(platform.machine())
    program = _Program(len(instructions) // _INSTRUCTION.size, instructions)
    result = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    return bool(result == 0)


_INSTRUCTION: Final = struct.Struct("<HBBI")  # code, jump if true, jump if false, value


def _instructions(machine: str) -> bytes:
    column = list(MACHINES).index(machine)
    return b"".join(
        _INSTRUCTION.pack(*one)
        for one in (
            (LOAD, 0, 0, MACHINE_AT),
            (JUMP_IF_EQUAL, 1, 0, MACHINES[machine]),
            (ANSWER, 0, 0, KILL_PROCESS),  # another machine's calls have other numbers
            (LOAD, 0, 0, NUMBER_AT),
            *(
                instruction
                for numbers in _ON_BOTH.values()
                for instruction in (
                    (JUMP_IF_EQUAL, 0, 1, numbers[column]),
                    (ANSWER, 0, 0, ALLOW),
                )
            ),
            (JUMP_IF_EQUAL, 0, 3, _PRLIMIT[column]),
            (LOAD, 0, 0, FIRST_ARGUMENT_AT),
            (JUMP_IF_EQUAL, 0, 1, 0),
            (ANSWER, 0, 0, ALLOW),
            (ANSWER, 0, 0, REFUSE),
        )
    )
