"""What a process can still do once it is confined, tried in a process of its own."""

import json
import os
import platform
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from imagelane.processor import syscalls

SCRIPT = """
import ctypes, json, os, resource, signal, socket, sys
from imagelane.processor import confinement

server = socket.create_server(("127.0.0.1", 0))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
address = datagrams.getsockname()
saved = os.dup(1)
handed = os.open("/etc/passwd", os.O_RDONLY)
memory = os.memfd_create("output")
parent = os.getppid()
libc = ctypes.CDLL(None)
secret = ctypes.create_string_buffer(8)

class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

def look_into(pid):
    vector = Vector(ctypes.addressof(secret), 8)
    call = libc.process_vm_readv
    return call(pid, ctypes.byref(vector), 1, ctypes.byref(vector), 1, 0)

def outcome(call):
    try:
        call()
    except BaseException as error:
        return type(error).__name__
    return "done"

def fork():
    if os.fork() == 0:
        os._exit(0)

PREPARE
limits = confinement.Confinement(memory_bytes=1 << 30, cpu_seconds=5, output_bytes=1000)
result = {"walls": confinement.confine(limits)}
result["read a file"] = outcome(lambda: open("/etc/passwd").read())
result["list a folder"] = outcome(lambda: os.listdir("/"))
result["read its parent's environment"] = outcome(lambda: open(f"/proc/{parent}/environ").read())
result["write a file"] = outcome(lambda: open("/tmp/of-a-decode-child", "w"))
result["open what it was handed for writing"] = outcome(
    lambda: open(f"/proc/self/fd/{handed}", "r+b")
)
result["connect"] = outcome(lambda: socket.create_connection(server.getsockname(), 1))
result["send a datagram"] = outcome(
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", address)
)
result["signal its parent"] = outcome(lambda: os.kill(parent, 0))
result["limit its parent"] = outcome(lambda: resource.prlimit(parent, resource.RLIMIT_NPROC))
result["limit itself"] = outcome(lambda: confinement.limit_cpu(1))
result["fork"] = outcome(fork)
result["become another program"] = outcome(lambda: os.execv("/bin/true", ["true"]))
result["look into its parent's memory"] = "PermissionError" if look_into(parent) == -1 else "done"
result["take memory"] = outcome(lambda: bytearray(2 << 30))
result["write too much"] = outcome(lambda: os.write(memory, bytes(1001)) == 1001 or 1 / 0)
os.write(saved, json.dumps(result).encode())
"""
NOBODY = "os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)"
WITHOUT_FILTER = "confinement.allow_only_listed = lambda libc: False"
HAS_FILTER = platform.machine() in syscalls.MACHINES
PREPARATIONS = ["", *([NOBODY] if os.getuid() == 0 else [])]


@cache
def confined(prepare: str = "") -> dict[str, Any]:
    script = SCRIPT.replace("PREPARE", prepare)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("prepare", PREPARATIONS)
def test_limits_hold_everywhere(prepare: str) -> None:
    result = confined(prepare)
    assert "limits" in result["walls"]
    assert result["take memory"] == "MemoryError"
    assert result["write too much"] == "ZeroDivisionError"  # cut off at the limit


@pytest.mark.skipif(not HAS_FILTER, reason="this machine's system calls are not known here")
@pytest.mark.parametrize("prepare", PREPARATIONS)
@pytest.mark.parametrize(
    "what",
    [
        "read a file",
        "list a folder",
        "read its parent's environment",
        "write a file",
        "open what it was handed for writing",
        "connect",
        "send a datagram",
        "signal its parent",
        "limit its parent",
        "fork",
        "become another program",
        "look into its parent's memory",
    ],
)
def test_nothing_but_decoding_is_left_with_or_without_privileges(what: str, prepare: str) -> None:
    result = confined(prepare)
    assert "system calls" in result["walls"]
    assert result[what] in {"PermissionError", "BlockingIOError"}  # fork's, of the limit
    assert result["limit itself"] == "done"


def test_nothing_can_be_opened_where_the_kernel_has_landlock() -> None:
    result = confined(WITHOUT_FILTER)
    expected = {"PermissionError"} if "landlock" in result["walls"] else {"done", "PermissionError"}
    for what in ("read a file", "list a folder", "open what it was handed for writing"):
        assert result[what] in expected, what


def test_nothing_can_be_reached_where_one_of_the_other_two_walls_stands() -> None:
    result = confined(WITHOUT_FILTER)
    walled = {"landlock", "network namespace"} & set(result["walls"])
    assert (result["connect"] == "done") == (not walled)
