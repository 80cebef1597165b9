"""What is read from server-sent events, and what is told of a job's progress and end."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from imagelane.ops.client.core.answers import Counts, FailureCount, Job, Refusal
from imagelane.ops.client.core.progress import (
    Pacer,
    clock,
    exit_code,
    progress_line,
    summary_lines,
)
from imagelane.ops.client.core.server_sent import EventReader, ServerSentEvent
from imagelane.ops.client.waiting import Waiting

STREAM = (
    b"retry: 2000\n\n"
    b'event: job\nid: 7\ndata: {"a": 1}\n\n'
    b": ping\n\n"
    b"data: one\r\ndata: two\r\n\r\n"
    b"event: nothing\n\n"
    b"data: cut of"
)
JOB = Job(job_id="a" * 32, customer_id="acme", status="running", images=1_000, counts=Counts())


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    reader = EventReader()
    pieces = [STREAM[begin:end] for begin, end in pairwise(places)]
    assert [event for piece in pieces for event in reader.feed(piece)] == [
        ServerSentEvent("job", "7", b'{"a": 1}'),
        ServerSentEvent("message", "7", b"one\ntwo"),
    ]


def at(processed: int, delivered: int) -> Job:
    return replace(JOB, counts=Counts(processed=processed, delivered=delivered))


def test_the_time_left_is_that_of_the_slower_half_of_the_road() -> None:
    pacer = Pacer()
    assert pacer.hear(at(0, 0), 100.0).left_seconds is None
    assert pacer.hear(at(0, 0), 101.0).left_seconds is None, "nothing has moved yet"
    pace = pacer.hear(at(500, 100), 110.0)
    assert pace.per_second == 50
    assert pace.left_seconds == 90, "900 images at 10 a second"
    pace = pacer.hear(at(510, 500), 160.0)
    assert pace.per_second == pytest.approx(0.2), "the last look alone"
    assert pace.left_seconds == pytest.approx(490 / 0.2)
    done = replace(at(1_000, 1_000), status="finished")
    assert pacer.hear(done, 161.0).left_seconds == 0


def test_nobody_guesses_while_the_list_is_read() -> None:
    pacer = Pacer()
    reading = replace(JOB, images=None, counts=Counts(processed=3))
    for now in (1.0, 2.0):
        assert pacer.hear(reading, now).left_seconds is None


@pytest.mark.parametrize(
    ("status", "counts", "code"),
    [
        ("finished", Counts(delivered=1_000), 0),
        ("finished", Counts(delivered=999, failed=1), 3),
        ("finished", Counts(delivered=999, cancelled=1), 3),
        ("finished", Counts(failed=1_000), 1),
        ("refused", Counts(), 1),
    ],
)
def test_the_exit_code_tells_the_end(status: str, counts: Counts, code: int) -> None:
    assert exit_code(replace(JOB, status=status, counts=counts)) == code


def test_the_summary_counts_failures_by_code() -> None:
    ended = replace(
        JOB,
        status="finished",
        counts=Counts(delivered=990, failed=9, cancelled=1),
        cut_short_by="deadline",
        failures=[FailureCount(code="not_found", reason="it is gone", images=9)],
    )
    first, second = summary_lines(ended)
    assert first == (
        "finished: 990 of 1,000 images delivered, 9 failed, 1 cancelled, cut short by its deadline"
    )
    assert second.split() == ["9", "not_found:", "it", "is", "gone"]
    refused = replace(JOB, status="refused", refusal=Refusal(code="list_empty", reason="no lines"))
    assert summary_lines(refused) == ["refused: no lines (list_empty)"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (65, "1:05"), (3_725, "1:02:05"), (59.6, "1:00")]
)
def test_time_left_is_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_bars_on_a_terminal_and_lines_elsewhere() -> None:
    out = io.StringIO()
    with Waiting(Console(file=out, width=60)) as waiting:
        waiting.show(at(1, 0))
        waiting.show(at(2, 0))
        waiting.show(replace(at(1_000, 1_000), status="finished"))
        waiting.say("[bold]not markup")
    first, last, said = out.getvalue().splitlines()
    assert "processed 1/1,000" in first, "the second came too early for a line of its own"
    assert last == progress_line(
        replace(at(1_000, 1_000), status="finished"), Pacer().hear(at(0, 0), 0.0)
    )
    assert said == "[bold]not markup"

    out = io.StringIO()
    with Waiting(Console(file=out, width=100, force_terminal=True)) as waiting:
        waiting.show(at(250, 10))
    assert "250/1,000" in out.getvalue()
    assert "━" in out.getvalue()
