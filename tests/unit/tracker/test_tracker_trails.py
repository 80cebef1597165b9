"""Trails in causal order, whatever the clocks of the services say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagelane.tracking.steps import KINDS, Kind
from imagelane.tracking.trails import in_causal_order, taken

ROAD = (
    Kind.JOB_ACCEPTED,
    Kind.IMAGE_REQUESTED,
    Kind.IMAGE_DOWNLOADED,
    Kind.IMAGE_PROCESSED,
    Kind.BATCH_REQUESTED,
    Kind.CALL_PLANNED,
    Kind.CALL_SUBMITTING,
    Kind.CALL_ACTIVE,
    Kind.RECORDED_DELIVERED,
    Kind.JOB_FINISHED,
)


def row(kind: Kind, at: int, offset: int = 0, **more: Any) -> dict[str, Any]:
    seq = {"seq": 1} if Kind.BATCH_REQUESTED <= kind < Kind.RECORDED_DELIVERED else {}
    return {"kind": kind, "at": at, "partition": 0, "offset": offset, **seq, **more}


def order_of(*rows: dict[str, Any]) -> list[tuple[str, int]]:
    return [(step.kind, step.offset) for step in in_causal_order(map(taken, rows))]


def test_every_kind_of_step_has_a_name_and_a_topic() -> None:
    assert set(KINDS) == set(Kind)


@given(st.lists(st.integers(0, 10**6), min_size=len(ROAD), max_size=len(ROAD)), st.randoms())
def test_no_clock_puts_a_step_before_its_cause(times: list[int], rng: Any) -> None:
    rows = [row(kind, at) for kind, at in zip(ROAD, times, strict=True)]
    rng.shuffle(rows)
    assert [kind for kind, _ in order_of(*rows)] == [KINDS[kind].name for kind in ROAD]


def test_steps_taken_twice_stand_by_their_times() -> None:
    assert order_of(
        row(Kind.IMAGE_DOWNLOADED, 50, 2),
        row(Kind.IMAGE_PROCESSED, 30, 3),
        row(Kind.IMAGE_DOWNLOADED, 20, 1),
        row(Kind.IMAGE_REQUESTED, 10, 0),
    ) == [
        ("image.requested", 0),
        ("image.downloaded", 1),
        ("image.processed", 3),
        ("image.downloaded", 2),
    ]


def test_a_second_call_does_not_wait_for_the_clock_of_the_first() -> None:
    first = [row(Kind.CALL_PLANNED, 100), row(Kind.CALL_ACTIVE, 110)]
    second = [row(Kind.CALL_PLANNED, 120, seq=2), row(Kind.CALL_ACTIVE, 119, seq=2)]
    kinds = [(step.kind, step.seq) for step in in_causal_order(map(taken, first + second))]
    assert kinds == [
        ("call.planned", 1),
        ("call.active", 1),
        ("call.planned", 2),
        ("call.active", 2),
    ]


def test_a_command_after_the_end_stays_after_it() -> None:
    rows = [row(Kind.JOB_FINISHED, 10, 1), row(Kind.JOB_DELETE_ASKED, 20, 2, decided_by="kim")]
    assert [kind for kind, _ in order_of(*rows)] == ["job.finished", "delete.job"]
