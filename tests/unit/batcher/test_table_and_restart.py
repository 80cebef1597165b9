"""What the table holds, and what a process makes of it that takes the partition over."""

from __future__ import annotations

import random

import pytest
from tests.unit.batcher.conftest import RULES, Desk, asked, job_id, settled_by

from imagelane.batcher.core.records import (
    JobKey,
    LaneKey,
    TableFound,
    encode,
    job_key,
    lane_key,
    parse_key,
    partition_of_key,
    table_key,
)
from imagelane.contracts import events as e
from imagelane.core.partitioning import partition_of


def parts(desk: Desk) -> int:
    return sum(isinstance(parse_key(key), JobKey) for key in desk.table)


@pytest.mark.parametrize("customer_id", ["acme", "a/b/c", "lane/x", "中/é", "job/"])
def test_a_key_says_whose_record_it_is(customer_id: str) -> None:
    job = job_key(customer_id, job_id("a"), "w1", 7)
    assert parse_key(lane_key(customer_id)) == LaneKey(customer_id)
    assert parse_key(job) == JobKey(customer_id, job_id("a"))
    home = partition_of(customer_id.encode(), 12)
    assert partition_of_key(lane_key(customer_id), 12) == home
    assert partition_of_key(job, 12) == home


def test_the_tables_own_record_belongs_to_its_partition() -> None:
    assert parse_key(table_key(11)) is None
    assert partition_of_key(table_key(11), 12) == 11


def test_a_restart_goes_on_where_it_was(desk: Desk) -> None:
    desk.table[table_key(0)] = encode(TableFound(since=desk.now.at))
    desk.processed(range(60))
    desk.processed([60], ok=False)
    desk.restart()
    (request,) = desk.processed(range(61, 101))
    assert asked(request) == (1, {"a": [*range(60), *range(61, 101)]})


def test_an_open_request_is_sent_again_as_it_was(desk: Desk) -> None:
    request = desk.call(100)
    desk.processed([100, 101])
    assert desk.restart() == [request]
    (second,) = desk.completed(1, desk.outcome(delivered=range(100)))
    assert asked(second) == (2, {"a": [100, 101]})


def test_what_was_not_settled_is_settled_again(desk: Desk) -> None:
    desk.processed([3], ok=False)
    desk.cancelled("b")
    desk.sealed(2, "b")
    (event,) = desk.restart()
    assert settled_by(event) == {"a": ([3], []), "b": ([], [0, 1])}


def test_the_limit_of_the_api_is_remembered(desk: Desk) -> None:
    desk.call(100)
    desk.completed(1, desk.outcome(returned=range(100)), max_images=10)
    desk.restart()
    (request,) = desk.completed(2, desk.outcome(delivered=range(10)))
    assert asked(request) == (3, {"a": list(range(10, 30))})


def test_many_small_parts_become_one(desk: Desk) -> None:
    desk.with_rules(first_call_images=10**6, linger_seconds=10**6)
    for index in range(RULES.max_parts * 3):
        desk.processed([index])
    assert parts(desk) <= RULES.max_parts
    desk.with_rules(first_call_images=1)
    (request,) = desk.processed([10_000])
    assert asked(request) == (1, {"a": [*range(RULES.max_parts * 3), 10_000]})


def test_a_part_says_only_what_is_new(desk: Desk) -> None:
    desk.with_rules(first_call_images=10**6, linger_seconds=10**6)
    desk.processed(range(50_000))
    before = set(desk.table)
    desk.processed([50_001])
    (new,) = set(desk.table) - before
    assert len(desk.table[new]) < 400


def test_writers_never_share_a_key(desk: Desk) -> None:
    desk.processed([1])
    old = desk.lanes
    desk.restart()
    desk.processed([2])
    mine = set(desk.table)
    old.fold(desk.image(3), desk.now)
    theirs = old.decide(desk.now)
    assert not {write.key for write in theirs.writes} & mine


def test_a_process_that_lost_the_partition_and_writes_on_takes_nothing_away(desk: Desk) -> None:
    desk.with_rules(first_call_images=10**6, linger_seconds=10**6)
    for index in range(RULES.max_parts):
        desk.processed([index])
    zombie = desk.lanes
    desk.restart()
    desk.processed(range(1_000, 1_010))
    zombie.fold(desk.image(500), desk.now)
    decisions = zombie.decide(desk.now)
    zombie.confirm(decisions)
    removals = zombie.decide(desk.now)
    for write in [*decisions.writes, *removals.writes]:
        if write.value is None:
            desk.table.pop(write.key, None)
        else:
            desk.table[write.key] = write.value
    desk.with_rules(first_call_images=1)
    (request,) = desk.processed([2_000])
    wanted = [*range(RULES.max_parts), 500, *range(1_000, 1_010), 2_000]
    assert asked(request) == (1, {"a": wanted})


def test_an_older_lane_record_only_costs_a_question(desk: Desk) -> None:
    desk.call(100)
    old = dict(desk.table)
    desk.completed(1, desk.outcome(delivered=range(99), returned=[99]))
    desk.table[lane_key("acme")] = old[lane_key("acme")]
    (request,) = desk.restart()
    assert asked(request)[0] == 1
    desk.told(2, job=desk.outcome(delivered=range(99)))
    (request,) = desk.told(2, answers=1)
    assert asked(request) == (3, {"a": [99]})


@pytest.mark.parametrize("kept_parts", [0, 1])
def test_images_that_only_the_lane_record_has_are_written_down(desk: Desk, kept_parts: int) -> None:
    desk.processed(range(50))
    desk.processed(range(50, 100))
    for key in sorted(key for key in desk.table if isinstance(parse_key(key), JobKey))[kept_parts:]:
        del desk.table[key]
    desk.restart()
    desk.processed(range(100))
    assert desk.completed(1, desk.outcome(returned=range(100))) == []
    (request,) = desk.restart() or desk.wait(21.0)
    assert asked(request) == (2, {"a": list(range(100))})


def test_the_last_seq_is_remembered(desk: Desk) -> None:
    desk.accepted()
    desk.completed(5)
    desk.restart()
    assert desk.call(100).seq == 6


def test_one_part_for_many_has_everything(desk: Desk) -> None:
    desk.cancelled("b")
    for index in range(RULES.max_parts):
        desk.processed([index], ok=False)
        desk.processed([index], job="b")
    desk.told(0, job=desk.outcome(failed=[0], delivered=[70], cancelled=[80]))
    desk.processed([RULES.max_parts], ok=False)
    desk.processed([RULES.max_parts], job="b")
    (event,) = desk.restart()
    assert settled_by(event) == {
        "a": (list(range(1, RULES.max_parts + 1)), []),
        "b": ([], list(range(RULES.max_parts + 1))),
    }
    desk.sealed(81)
    told = desk.told(0, job=desk.outcome(failed=range(81)))
    (finished,) = [one for one in told if isinstance(one, e.JobFinished)]
    assert (finished.delivered, finished.failed, finished.cancelled) == (1, 79, 1)


def test_nothing_blocks_for_long_with_a_hundred_thousand_images(desk: Desk) -> None:
    desk.with_rules(first_call_images=100_000, linger_seconds=10**6)
    indexes = list(range(100_000))
    random.Random(7).shuffle(indexes)
    for index in indexes[:-1]:
        desk.lanes.fold(desk.image(index), desk.now)
    desk.decide()
    (request,) = desk.processed(indexes[-1:])
    assert len(asked(request)[1]["a"]) == 100_000
    assert max(map(len, desk.table.values())) < 60_000
    assert (
        desk.completed(1, desk.outcome(delivered=range(0, 100_000, 2), failed=range(1, 100_000, 2)))
        == []
    )
    (finished,) = desk.sealed(100_000)
    assert finished.delivered == 50_000  # type: ignore[attr-defined]


def test_what_a_whole_part_repeats_is_removed_only_when_that_part_is_durable(desk: Desk) -> None:
    desk.with_rules(max_parts=2)
    desk.processed([0])
    desk.processed([1])
    desk.lanes.fold(desk.image(2), desk.now)
    decisions = desk.lanes.decide(desk.now)
    assert [write.value is None for write in decisions.writes] == [False]
    desk.lanes.confirm(decisions)
    removals = desk.lanes.decide(desk.now).writes
    assert [write.value for write in removals] == [None, None]


def test_a_whole_part_has_what_is_in_the_open_request_too(desk: Desk) -> None:
    desk.with_rules(max_parts=1)
    desk.sealed(101)
    desk.call(100)
    desk.processed([100])
    desk.completed(1)  # it says nothing of them, and the process ends before it has asked
    (request,) = desk.restart()
    assert asked(request) == (2, {"a": list(range(101))})
