"""A decode child as hostile bytes could make one: real in all but what it does with certain images.

The tests start it in place of `imagelane.processor.decode_child`; nothing else knows of it. An image that
begins with `misbehave:` and a name below is not decoded; the function of that name is called instead.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from imagelane.core.recipes import OutputSpec
from imagelane.processor import decode_child, messages
from imagelane.processor.core.limits import ImageLimits
from imagelane.processor.core.plan import Size
from imagelane.processor.imaging import process

MARK = b"misbehave:"
CHANNEL = 0
ON_DISK = Path(__file__).with_name("written-by-a-child")
MEBIBYTE = bytes(1 << 20)


def aborts(_: int) -> None:
    os.abort()


def reads_where_nothing_is(_: int) -> None:
    ctypes.string_at(8)


def runs_out_of_stack(_: int) -> None:
    sys.setrecursionlimit(1 << 30)

    def deeper(_: int) -> int:
        return min([0], key=deeper)

    deeper(0)


def leaves_as_if_all_were_well(_: int) -> None:
    os._exit(0)


def waits_for_ever(_: int) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def loops_in_c(_: int) -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def leaks_memory(_: int) -> None:
    kept = []
    while True:
        kept.append(bytearray(MEBIBYTE))


def floods_standard_output(target: int) -> None:
    for _ in range(1_024):
        os.write(1, MEBIBYTE)
        os.write(2, MEBIBYTE)
    os.write(target, b"\xff\xd8\xff and so on")


def floods_its_socket(_: int) -> None:
    while True:
        os.write(CHANNEL, b"x" * 50_000)


def answers_at_length(_: int) -> None:
    os.write(CHANNEL, b"x" * 150_000)


def answers_nonsense(_: int) -> None:
    os.write(CHANNEL, b"\0\0\0\1nonsense")


def answers_an_earlier_request(_: int) -> None:
    os.write(CHANNEL, b"\xff\xff\xff\xff" + messages.encode(messages.Made([(9, 9)])))


def sends_descriptors(target: int) -> None:
    channel = socket.socket(fileno=os.dup(CHANNEL))
    socket.send_fds(channel, [b"look"], [target] * 20)


def claims_what_it_did_not_write(_: int) -> None:
    return


def writes_what_is_no_image(target: int) -> None:
    os.write(target, b"<html><script>alert(1)</script></html>")


def writes_without_end(target: int) -> None:
    while True:
        os.write(target, MEBIBYTE)


def fills_the_disk(_: int) -> None:
    ON_DISK.write_bytes(MEBIBYTE)


def forks(_: int) -> None:
    while True:
        os.fork()


def starts_threads(_: int) -> None:
    while True:
        threading.Thread(target=threading.Event().wait).start()


def becomes_another_program(_: int) -> None:
    os.execv("/bin/sleep", ["sleep", "60"])  # noqa: S606 - what a hostile child would do


def calls_home(_: int) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def kills_its_parent(_: int) -> None:
    os.kill(os.getppid(), 9)


def answers_twice(target: int) -> None:
    os.write(target, b"\xff\xd8\xff and so on")
    number = sys._getframe(3).f_locals["number"]
    os.write(CHANNEL, number + messages.encode(messages.Made([(9, 9)])))


MISBEHAVIOURS: dict[str, Callable[[int], None]] = {
    one.__name__: one
    for one in (
        aborts,
        reads_where_nothing_is,
        runs_out_of_stack,
        leaves_as_if_all_were_well,
        waits_for_ever,
        loops_in_c,
        leaks_memory,
        floods_standard_output,
        floods_its_socket,
        answers_at_length,
        answers_nonsense,
        answers_an_earlier_request,
        sends_descriptors,
        claims_what_it_did_not_write,
        writes_what_is_no_image,
        writes_without_end,
        fills_the_disk,
        forks,
        starts_threads,
        becomes_another_program,
        calls_home,
        kills_its_parent,
        answers_twice,
    )
}


def misbehave_or_process(
    source: int, outputs: Sequence[OutputSpec], targets: Sequence[int], limits: ImageLimits
) -> list[Size]:
    """What stands where the child calls `process`."""
    head = os.pread(source, 100, 0)
    if not head.startswith(MARK):
        return process(source, outputs, targets, limits)
    MISBEHAVIOURS[head.removeprefix(MARK).decode()](targets[0])
    return [(9, 9)]


if __name__ == "__main__":
    vars(decode_child)["process"] = misbehave_or_process
    decode_child.main()
