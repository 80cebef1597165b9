"""Whether a member of a group lives and is ready, as a table over what is seen of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from imagelane.core.health import (
    IDLE_SECONDS,
    ORPHAN_SECONDS,
    SPARE_SECONDS,
    THREAD_SECONDS,
    BrokerView,
    MemberState,
    MemberWatch,
    Place,
    waiting,
)

HERE: dict[Place, int | None] = {("requested", 0): 5}
NOBODY: dict[Place, int | None] = {}
UNREAD, NONE_UNREAD, SILENCE = BrokerView(waiting=3), BrokerView(waiting=0), BrokerView()
ALL_DONE, BEHIND = BrokerView(behind={}), BrokerView(behind={("requested", 1): 7})


@dataclass(frozen=True)
class Case:
    """The same is seen from second 0 to `seconds`, every second."""

    says: str
    view: BrokerView
    seconds: float
    lives: bool
    ready: bool
    positions: dict[Place, int | None]
    read_ahead: int = 0
    in_work: int = 0
    held: str = ""
    unready: str = ""
    silent: float = 0.0


LONG = IDLE_SECONDS + 2
BRIEF = IDLE_SECONDS - 2
CASES = [
    Case("nothing to do", NONE_UNREAD, LONG, True, True, HERE),
    Case("a broker that does not answer", SILENCE, 10 * LONG, True, True, HERE),
    Case("records wait for a while", UNREAD, BRIEF, True, True, HERE),
    Case("records wait for long", UNREAD, LONG, False, False, HERE),
    Case("records were read and not taken", NONE_UNREAD, LONG, False, False, HERE, read_ahead=1),
    Case("long work is work", UNREAD, LONG, True, True, HERE, in_work=1),
    Case("it holds on purpose", UNREAD, LONG, True, True, HERE, read_ahead=9, held="backlog"),
    Case("its client is stuck", SILENCE, 1, False, False, HERE, silent=THREAD_SECONDS + 1),
    Case("its client is busy", SILENCE, 1, True, True, HERE, silent=THREAD_SECONDS - 2),
    Case("it joins", SILENCE, SPARE_SECONDS - 2, True, False, NOBODY),
    Case("it stands by", ALL_DONE, 10 * LONG, True, True, NOBODY),
    Case("it stands by, and the broker is away", SILENCE, 10 * LONG, True, False, NOBODY),
    Case("others are slow", BEHIND, ORPHAN_SECONDS, True, True, NOBODY),
    Case("nobody has what waits", BEHIND, ORPHAN_SECONDS + 2, False, False, NOBODY),
    Case("all hold on purpose", BEHIND, 10 * LONG, True, True, NOBODY, held="backlog"),
    Case("it takes over", SILENCE, 10 * LONG, True, False, NOBODY, unready="restoring"),
    Case("it restores what it has", UNREAD, LONG, True, False, HERE, held="r", unready="r"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_verdicts(case: Case) -> None:
    def state(now: float) -> MemberState:
        return MemberState(
            turned_at=now - case.silent,
            positions=case.positions,
            read_ahead=case.read_ahead,
            in_work=case.in_work,
            held=case.held,
            unready=case.unready,
        )

    watch = MemberWatch(0.0, state(0.0))
    for second in range(1, int(case.seconds) + 1):
        watch.look(state(second), case.view, second)
    assert (watch.lives(case.seconds) == "") is case.lives
    assert (watch.is_ready(case.seconds) == "") is case.ready


def test_every_record_taken_or_done_is_progress() -> None:
    watch = MemberWatch(0.0, MemberState(0.0, HERE))
    for second in range(1, 1_000):
        watch.look(MemberState(second, HERE, moves=second // 100), UNREAD, second)
        assert watch.lives(second) == ""
    assert watch.idle_seconds(999.0) == 99.0


def test_every_record_read_is_progress() -> None:
    watch = MemberWatch(0.0, MemberState(0.0, HERE))
    for second in range(1, 1_000):
        watch.look(MemberState(second, {("requested", 0): second // 100}), UNREAD, second)
        assert watch.lives(second) == ""


def test_waiting_counts_from_when_there_was_something_to_do() -> None:
    watch = MemberWatch(0.0, MemberState(0.0, HERE))
    watch.look(MemberState(999.0, HERE), NONE_UNREAD, 999.0)
    watch.look(MemberState(1_000.0, HERE), UNREAD, 1_000.0)
    assert watch.lives(1_001.0) == ""
    assert watch.idle_seconds(1_001.0) == 2.0


def test_a_member_that_has_lost_all_is_not_ready_until_it_stands_by() -> None:
    watch = MemberWatch(0.0, MemberState(0.0, HERE))
    watch.look(MemberState(1.0, HERE), NONE_UNREAD, 1.0)
    assert watch.is_ready(1.0) == ""
    for now, ready in ((2.0, False), (16.0, False), (17.0, True)):
        watch.look(MemberState(now, NOBODY), ALL_DONE, now)
        assert (watch.is_ready(now) == "") is ready
        assert watch.lives(now) == ""


def test_a_group_that_gets_on_needs_no_other_members() -> None:
    watch = MemberWatch(0.0, MemberState(0.0, NOBODY))
    for second in range(1, 2_000):
        behind = {("requested", 0): second // 200, ("requested", 1): 1_000 + second // 250}
        watch.look(MemberState(second, NOBODY), BrokerView(behind=behind), second)
        assert watch.lives(second) == ""


def test_one_partition_that_nobody_has_is_enough() -> None:
    watch = MemberWatch(0.0, MemberState(0.0, NOBODY))
    for second in range(1, 400):
        behind = {("requested", 0): second, ("requested", 1): 7}
        watch.look(MemberState(second, NOBODY), BrokerView(behind=behind), second)
    assert "nobody took" in watch.lives(400.0)
    watch.look(MemberState(400.0, HERE), NONE_UNREAD, 400.0)
    assert watch.lives(400.0) == ""


def test_the_patience_with_an_idle_member_is_its_own() -> None:
    watch = MemberWatch(0.0, MemberState(0.0, HERE), idle_limit_seconds=1_000.0)
    watch.look(MemberState(1.0, HERE), UNREAD, 1.0)
    watch.look(MemberState(900.0, HERE), UNREAD, 900.0)
    assert watch.lives(900.0) == ""


def test_what_retention_has_removed_does_not_wait() -> None:
    positions: dict[Place, int | None] = {("a", 0): 50, ("a", 1): None, ("a", 2): 100, ("b", 0): 7}
    first = {("a", 0): 90, ("a", 1): 40, ("a", 2): 0, ("b", 0): 0}
    ends = {("a", 0): 100, ("a", 1): 42, ("a", 2): 100, ("b", 0): 10, ("b", 1): 1_000}
    expected = {("a", 0): 10, ("a", 1): 2, ("b", 0): 3}
    assert waiting(positions, first, ends) == expected


def test_a_partition_that_is_new_to_us_is_not_counted_yet() -> None:
    assert waiting({("a", 9): 5}, {}, {("a", 9): 9}) == {}
