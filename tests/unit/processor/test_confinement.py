"""What a process can still do once it is confined, tried in a process of its own."""

import json
import subprocess
import sys
from typing import Any

SCRIPT = """
import json, os, socket, sys
from imagelane.processor.confinement import Confinement, confine
server = socket.create_server(("127.0.0.1", 0))
saved = os.dup(1)
handed = os.open("/etc/passwd", os.O_RDONLY)
result = {"walls": confine(Confinement(memory_bytes=1 << 30, cpu_seconds=5, output_bytes=1000))}

def outcome(call):
    try:
        call()
    except BaseException as error:
        return type(error).__name__
    return "done"

result["read a file"] = outcome(lambda: open("/etc/passwd").read())
result["list a folder"] = outcome(lambda: os.listdir("/"))
result["open what it was handed for writing"] = outcome(
    lambda: open(f"/proc/self/fd/{handed}", "r+b")
)
result["connect"] = outcome(lambda: socket.create_connection(server.getsockname(), 1))
result["take memory"] = outcome(lambda: bytearray(2 << 30))
memory = os.memfd_create("output")
result["write too much"] = outcome(lambda: os.write(memory, bytes(1001)) == 1001 or 1 / 0)
os.write(saved, json.dumps(result).encode())
"""


def confined() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_limits_hold_everywhere() -> None:
    result = confined()
    assert "limits" in result["walls"]
    assert result["take memory"] == "MemoryError"
    assert result["write too much"] == "ZeroDivisionError"  # cut off at the limit


def test_nothing_can_be_opened_where_the_kernel_has_landlock() -> None:
    result = confined()
    expected = {"PermissionError"} if "landlock" in result["walls"] else {"done", "PermissionError"}
    for what in ("read a file", "list a folder", "open what it was handed for writing"):
        assert result[what] in expected, what


def test_nothing_can_be_reached_where_one_of_the_two_walls_stands() -> None:
    result = confined()
    walled = {"landlock", "network namespace"} & set(result["walls"])
    assert (result["connect"] == "done") == (not walled)
