"""The loop: what a turn says is done in order, and a stop leaves no request without its answer."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.unit.dispatcher.conftest import ACME, lane
from tests.waiting import eventually

from imagelane.dispatcher import ownership, watchdog
from imagelane.dispatcher.core.step import Kind, Pursuit
from imagelane.dispatcher.dispatching import Dispatching
from imagelane.dispatcher.errands import Errand, Happening, StepDone, Turned
from imagelane.dispatcher.ownership import Ownership, boot_seconds
from imagelane.dispatcher.watchdog import Watchdog
from imagelane.platform.settings import KafkaSettings

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1", strict_partitions=4)


@dataclass
class Owner:
    """Gives prepared turns, then empty ones. `log` has what is done, of everybody, in order."""

    log: list[str]
    turns: deque[Turned | Exception] = field(default_factory=deque)
    heard: list[Sequence[Happening]] = field(default_factory=list)
    meanwhile: Callable[[], None] | None = None
    """What happens in the event loop during the first turn."""

    def open(self) -> None:
        self.log.append("open")

    def close(self) -> None:
        self.log.append("close")

    def abandon(self) -> None:
        self.log.append("abandon")

    def still_owns(self, _terms: dict[int, int]) -> bool:
        return False

    def turn(self, happened: Sequence[Happening]) -> Turned:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        self.heard.append(list(happened))
        turned = self.turns.popleft() if self.turns else Turned({})
        if isinstance(turned, Exception):
            raise turned
        return turned


@dataclass
class Caller:
    """Remembers what it is told. It is `sending` for so many further looks at it."""

    log: list[str]
    sends: int = 0

    @property
    def sending(self) -> bool:
        self.sends -= 1
        return self.sends >= 0

    def begin(self, errand: Errand) -> None:
        self.log.append(f"begin {errand.lane.customer_id}")

    def end(self, customer_id: str) -> None:
        self.log.append(f"end {customer_id}")

    def hint(self, customer_id: str) -> None:
        self.log.append(f"hint {customer_id}")

    def allow_attempts(self, allowed: bool) -> None:
        self.log.append("may attempt" if allowed else "may not attempt")

    def end_all(self) -> None:
        self.log.append("end all")


@dataclass
class Loop:
    log: list[str] = field(default_factory=list)
    happenings: deque[Happening] = field(default_factory=deque)
    owner: Owner = field(init=False)
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        self.owner, self.caller = Owner(self.log), Caller(self.log)

    async def run(self, enough: Callable[[], object]) -> None:
        """Until it is `enough`, and through an orderly end."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            loop = Dispatching(
                KAFKA,
                owner=cast(Any, self.owner),
                caller=cast(Any, self.caller),
                producer=cast(Any, None),
                happenings=self.happenings,
                tasks=tasks,
            )
            running = tasks.create_task(loop.run(stop))
            await eventually(lambda: enough() or running.done())
            stop.set()


def step(customer: str = ACME) -> StepDone:
    return StepDone(errand(customer), None)


def errand(customer: str = ACME) -> Errand:
    return Errand(0, 1, lane("planned", customer=customer), Pursuit(Kind.ATTEMPT), boot_seconds())


async def test_what_came_into_an_aborted_turn_is_heard_again_before_anything_later() -> None:
    loop, early, late = Loop(), [step("a"), step("b")], step("c")
    loop.happenings += early
    loop.owner.meanwhile = lambda: loop.happenings.append(late)
    loop.owner.turns.append(Turned({}, again=early))
    await loop.run(lambda: len(loop.owner.heard) >= 2)
    assert loop.owner.heard[:2] == [early, [*early, late]]


async def test_lanes_that_are_idle_end_and_others_begin_while_attempts_are_allowed() -> None:
    loop = Loop()
    turned = Turned({}, errands=[errand("new")], idle=["over"], hinted=["told"])
    loop.owner.turns.append(turned)
    await loop.run(lambda: "hint told" in loop.log)
    assert loop.log[:5] == ["open", "may attempt", "end over", "begin new", "hint told"]


async def test_on_hold_no_attempt_may_begin() -> None:
    loop = Loop()
    loop.owner.turns += [Turned({}, on_hold=True), Turned({}, on_hold=True)]
    await loop.run(lambda: len(loop.owner.heard) >= 3)
    assert loop.log[1:4] == ["may not attempt", "may not attempt", "may attempt"]


async def test_a_stop_waits_for_requests_under_way_and_lets_no_other_begin() -> None:
    loop = Loop()
    loop.caller.sends = 3
    await loop.run(lambda: len(loop.owner.heard) >= 2)
    stopping = loop.log[len(loop.log) - 6 :]
    assert stopping == [*["may not attempt"] * 3, "end all", "close", "abandon"]


async def test_a_turn_that_fails_leaves_nothing_owned() -> None:
    loop = Loop()
    loop.owner.turns.append(RuntimeError("fenced"))
    with pytest.raises(ExceptionGroup) as failed:
        await loop.run(lambda: False)
    assert "fenced" in str(failed.value.exceptions[0])
    assert loop.log == ["open", "abandon"]


@pytest.mark.parametrize(
    ("slept_seconds", "unpolled_seconds", "says"),
    [(0.0, 0.0, ""), (6.5, 0.0, "slept for"), (0.0, 31.0, "was not polled"), (5.0, 29.0, "")],
)
async def test_the_watchdog_ends_a_process_that_slept_or_hangs(
    monkeypatch: pytest.MonkeyPatch, slept_seconds: float, unpolled_seconds: float, says: str
) -> None:
    reasons: list[str] = []
    instants = deque([100.0, 100.1 + slept_seconds])
    now = 100.1 + slept_seconds
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.001)
    monkeypatch.setattr(watchdog, "boot_seconds", lambda: instants.popleft() if instants else now)
    monkeypatch.setattr(watchdog, "_leave", reasons.append)
    dog = Watchdog(Ownership(session_seconds=6.0, polled_at=now - unpolled_seconds))
    dog.start()
    await eventually(lambda: not instants)
    await asyncio.sleep(0.02)
    dog.stop()
    assert bool(reasons) == bool(says)
    assert all(says in reason for reason in reasons)


def test_the_clock_of_ownership_goes_on_while_the_machine_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def clock_gettime(clock: int) -> float:
        asked.append(clock)
        return 12.0

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    assert ownership.boot_seconds() == 12.0
    assert asked == [time.CLOCK_BOOTTIME]
