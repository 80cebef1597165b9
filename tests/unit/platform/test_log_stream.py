"""Log lines: nothing waits for who reads them, and what was dropped is told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from imagelane.platform.log_stream import LogStream

MOST_LINES = 50
LINES = 1_000
LONG = "x" * 1_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_lines_arrive_in_their_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    stream = LogStream(writing)
    for number in range(20):
        stream.write(f"{number} \udcff\n")
    stream.drain(30)
    said = os.read(reading, 10_000).decode().splitlines()
    assert said == [f"{number} \\udcff" for number in range(20)]


def test_nobody_waits_for_a_pipe_that_nobody_reads_and_what_is_dropped_is_counted(
    pipe: tuple[int, int],
) -> None:
    reading, writing = pipe
    stream = LogStream(writing, max_lines=MOST_LINES)
    for number in range(LINES):  # a pipe takes 64 KiB
        stream.write(f"{number} {LONG}\n")
    began = time.monotonic()
    stream.drain(0.05)
    assert time.monotonic() - began < 30
    said, kept, dropped = b"", 0, 0
    while kept + dropped < LINES:
        said += os.read(reading, 10_000)
        *whole, _ = said.split(b"\n")
        told = [json.loads(line) for line in whole if b"log.lines_dropped" in line]
        kept, dropped = len(whole) - len(told), sum(one["lines"] for one in told)
    assert dropped > 0


def test_a_pipe_whose_reader_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = LogStream(writing)
    stream.write("nobody hears this\n")
    stream.drain(30)
    os.close(writing)
