"""Whose notice is posted next."""

from __future__ import annotations

from datetime import UTC, datetime

from imagelane.contracts.notices import NoticeRecorded
from imagelane.notifier.core.lanes import Lanes, Waiting

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def waiting(name: str, *, customer: str = "acme", host: str = "a", due: float = 0.0) -> Waiting:
    notice = NoticeRecorded(
        customer_id=customer,
        job_id="j" * 32,
        notice_id=name,
        about="finished",
        state="pending",
        occurred_at=NOW,
    )
    return Waiting(name.encode(), notice, partition=0, host=host, due_at=due)


def lanes(*, total: int = 100, per_host: int = 2, per_customer: int = 1_000) -> Lanes:
    return Lanes(total=total, per_host=per_host, per_customer=per_customer)


def names(found: list[Waiting]) -> list[str]:
    return [one.notice.notice_id for one in found]


def test_nothing_starts_before_it_is_due() -> None:
    some = lanes()
    some.put(waiting("later", due=10))
    some.put(waiting("now"))
    assert names(some.start(0)) == ["now"]
    assert some.seconds_until_due(4) == 6
    assert names(some.start(10)) == ["later"]
    assert some.seconds_until_due(10) == float("inf")


def test_a_dead_host_holds_up_its_own_lane_only() -> None:
    some = lanes(per_host=2)
    for number in range(50):
        some.put(waiting(f"dead{number}", host="dead"))
    some.put(waiting("live", customer="other", host="live"))
    assert names(some.start(0)) == ["dead0", "live", "dead1"]
    assert some.start(0) == []


def test_a_place_that_is_free_again_goes_to_the_next_of_its_host() -> None:
    some = lanes(per_host=1)
    first, second = waiting("first"), waiting("second")
    some.put(first)
    some.put(second)
    assert some.start(0) == [first]
    assert some.start(0) == []
    some.end(first)
    assert some.start(0) == [second]


def test_customers_of_one_host_take_turns() -> None:
    some = lanes(per_host=1)
    for number in range(3):
        some.put(waiting(f"acme{number}"))
    some.put(waiting("other0", customer="other"))
    order = []
    while started := some.start(0):
        order += names(started)
        some.end(started[0])
    assert order == ["acme0", "other0", "acme1", "acme2"]


def test_hosts_take_turns_when_all_places_are_taken() -> None:
    some = lanes(total=1, per_host=5)
    for host in ("a", "b"):
        for number in range(2):
            some.put(waiting(f"{host}{number}", host=host))
    order = []
    while started := some.start(0):
        order += names(started)
        some.end(started[0])
    assert order == ["a0", "b0", "a1", "b1"]


def test_what_is_dropped_is_never_started_and_leaves_room() -> None:
    some = lanes(per_customer=2)
    assert some.put(waiting("one"))
    assert some.put(waiting("two"))
    assert not some.put(waiting("three"))
    assert some.put(waiting("other", customer="other"))
    some.drop(b"one")
    some.drop(b"one")
    assert some.put(waiting("three"))
    assert len(some) == 3
    assert sorted(names(some.start(0))) == ["other", "two"]  # two at a time to one host


def test_a_partition_that_leaves_takes_its_notices_along() -> None:
    some = lanes()
    some.put(waiting("stays"))
    gone = waiting("goes", due=99)
    gone.partition = 1
    some.put(gone)
    some.drop_partition(1)
    assert (len(some), gone.dropped) == (1, True)
    assert names(some.start(100)) == ["stays"]
    assert some.seconds_until_due(100) == float("inf")


def test_a_notice_takes_the_place_of_another_of_its_key() -> None:
    some = lanes(per_customer=1)
    old, new = waiting("same"), waiting("same")
    assert some.put(old)
    assert some.put(new)
    assert some.start(0) == [new]
    assert some.find(b"same") is new


def test_lanes_that_are_done_leave_nothing_behind() -> None:
    some = lanes()
    for number in range(20):
        some.put(waiting(f"n{number}", host=f"h{number}"))
    for one in some.start(0):
        some.end(one)
        some.drop(one.key)
    assert (len(some), some._lanes, some._of_customer, list(some._turns)) == (0, {}, {}, [])
