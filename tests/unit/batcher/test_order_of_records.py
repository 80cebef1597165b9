"""The order guard: each partition's records one by one."""

from __future__ import annotations

from imagelane.batcher.core.order import OrderGuard, Place, Verdict

HERE = Place("processed", 3)


def test_records_pass_one_by_one_from_where_reading_begins() -> None:
    guard = OrderGuard({HERE: 7})
    assert [guard.judge(HERE, offset, 0.0) for offset in (7, 8, 9)] == [Verdict.NEXT] * 3
    assert guard.positions == {HERE: 10}


def test_what_comes_twice_is_a_repeat() -> None:
    guard = OrderGuard({HERE: 7})
    guard.judge(HERE, 7, 0.0)
    assert guard.judge(HERE, 7, 0.0) is Verdict.REPEAT


def test_what_lies_before_the_beginning_is_foreign() -> None:
    assert OrderGuard({HERE: 7}).judge(HERE, 6, 0.0) is Verdict.FOREIGN


def test_a_skipped_record_is_waited_for_so_long_and_no_longer() -> None:
    guard = OrderGuard({HERE: 7})
    assert guard.judge(HERE, 9, 100.0) is Verdict.AHEAD
    guard.judge(HERE, 10, 103.0)
    assert guard.overdue(104.9, 5.0) is None
    assert guard.overdue(105.0, 5.0) == HERE
    assert guard.positions == {HERE: 7}


def test_a_skipped_record_that_comes_heals_it() -> None:
    guard = OrderGuard({HERE: 7})
    guard.judge(HERE, 9, 100.0)
    assert guard.judge(HERE, 7, 101.0) is Verdict.NEXT
    assert guard.overdue(200.0, 5.0) is None
