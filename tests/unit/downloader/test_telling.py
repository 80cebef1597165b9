"""How a server is spared, and when that is told to whoever asks why an image waits."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import UNSET

from imagelane.contracts.codec import decode
from imagelane.contracts.topics import HOSTS
from imagelane.core.failures import Code
from imagelane.downloader import host_log
from imagelane.downloader.core.hosts import Sparing
from imagelane.downloader.core.pace import PROBED_AFTER_ROUNDS, PacePolicy
from imagelane.downloader.core.schedule import MAX_IDLE_HOSTS, HostSchedule, Start
from imagelane.downloader.core.telling import (
    AGAIN_SECONDS,
    FLICKER_SECONDS,
    MAX_TOLD,
    TOLD_AT_ONCE,
    Telling,
)
from imagelane.downloader.host_log import HostLog, host_recorded
from imagelane.platform.producer import DeliveryError, EventProducer

SLOWED = Sparing(
    state="slowed",
    images_at_a_time=4,
    resumes_at=None,
    trouble=None,
    requests_per_second=None,
    waiting=10,
)


def schedule_of(**rates: float) -> HostSchedule[int]:
    return HostSchedule(64, PacePolicy(), {f"{name}.test": rate for name, rate in rates.items()})


def started(schedule: HostSchedule[int], now: float, server: str = "a.test") -> Start[int]:
    schedule.put(server, "acme", 1, now)
    schedule.put(server, "acme", 2, now)
    start = schedule.next(now)
    assert start is not None
    return start


def fail(schedule: HostSchedule[int], now: float, *, after: float | None = None) -> None:
    schedule.troubled(started(schedule, now), now + 0.1, Code.RATE_LIMITED, after)


def test_a_server_that_answers_is_not_spared() -> None:
    schedule = schedule_of()
    schedule.answered(started(schedule, 0.0), 0.5, 0.1)
    assert schedule.spared(1.0) == {}


def test_a_server_that_asked_for_a_pause_is_left_alone_until_then_and_slowed_after_it() -> None:
    schedule = schedule_of()
    fail(schedule, 0.0, after=60.0)
    told = schedule.spared(1.0)["a.test"]
    assert (told.state, told.resumes_at, told.trouble) == ("asked_to_wait", 60.1, Code.RATE_LIMITED)
    assert schedule.spared(61.0)["a.test"].state == "slowed"


def test_a_server_that_only_fails_is_probed() -> None:
    schedule = schedule_of()
    for attempt in range(PROBED_AFTER_ROUNDS):
        fail(schedule, attempt * 100.0)
    told = schedule.spared(PROBED_AFTER_ROUNDS * 100.0 - 99.8)["a.test"]
    assert (told.state, told.images_at_a_time) == ("failing", 1)
    assert told.resumes_at is not None


def test_a_server_that_becomes_slow_is_slowed_without_a_failure() -> None:
    schedule = schedule_of()
    for now, answer_seconds in enumerate([0.1] * 5 + [5.0] * 5):
        schedule.answered(started(schedule, now), now + 0.5, answer_seconds)
    told = schedule.spared(20.0)["a.test"]
    assert (told.state, told.trouble) == ("slowed", None)
    assert told.images_at_a_time < PacePolicy().start


def test_a_server_is_spared_no_more_when_it_has_its_pace_again() -> None:
    schedule = schedule_of()
    fail(schedule, 0.0)
    under_way: list[Start[int]] = []
    for now in range(1, 500):
        schedule.put("a.test", "acme", 1, now)
        while (start := schedule.next(now)) is not None:
            under_way.append(start)
        if under_way:
            schedule.answered(under_way.pop(0), now + 0.5, 0.1)
    assert schedule.spared(500.0) == {}


def test_a_rate_is_told_while_something_waits_for_it() -> None:
    schedule = schedule_of(a=2.0)
    start = started(schedule, 0.0)
    told = schedule.spared(0.1)["a.test"]
    assert (told.state, told.requests_per_second, told.waiting) == ("rated", 2.0, 1)
    schedule.answered(start, 0.5, 0.1)
    last = schedule.next(10.0)
    assert last is not None
    assert schedule.spared(10.0) == {}


@pytest.mark.slow
def test_servers_that_are_forgotten_are_spared_no_more() -> None:
    schedule = schedule_of()
    for number in range(MAX_IDLE_HOSTS + 1_000):
        schedule.put(f"{number}.test", "acme", number, number)
        start = schedule.next(number)
        assert start is not None
        schedule.troubled(start, number + 0.1, Code.TIMEOUT, None)
    assert len(schedule._spared) == schedule.servers <= MAX_IDLE_HOSTS + 1


def test_what_changes_is_told_at_once_and_what_lasts_is_told_again() -> None:
    telling = Telling()
    assert telling.due({"a.test": SLOWED}, 0.0) == [("a.test", SLOWED)]
    assert telling.due({"a.test": replace(SLOWED, waiting=99)}, FLICKER_SECONDS) == []
    failing = replace(SLOWED, state="failing")
    assert telling.due({"a.test": failing}, 2.0) == [("a.test", failing)]
    assert telling.due({"a.test": failing}, 3.0) == []
    assert telling.due({"a.test": failing}, 2.0 + AGAIN_SECONDS) == [("a.test", failing)]
    assert telling.due({}, 100.0) == [("a.test", None)]
    assert telling.due({}, 102.0) == []


def test_a_pace_that_goes_up_and_down_is_told_now_and_then() -> None:
    telling, told = Telling(), 0
    for second in range(0, 60, 2):
        told += len(telling.due({"a.test": replace(SLOWED, images_at_a_time=1 + second)}, second))
    assert told == 60 / FLICKER_SECONDS


def test_of_thousands_of_servers_those_are_told_that_most_images_wait_for() -> None:
    spared = {f"{number}.test": replace(SLOWED, waiting=number) for number in range(10_000)}
    telling = Telling()
    told = [telling.due(spared, 2.0 * turn) for turn in range(round(AGAIN_SECONDS / 2))]
    assert [len(one) for one in told[:25]] == [TOLD_AT_ONCE] * 25
    names = {server for turn in told for server, _ in turn}
    assert names == {f"{number}.test" for number in range(10_000 - MAX_TOLD, 10_000)}


def test_an_event_says_by_the_calendar_what_the_schedule_says_by_its_clock() -> None:
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    paused = replace(SLOWED, state="asked_to_wait", resumes_at=130.0, trouble=Code.RATE_LIMITED)
    event = host_recorded("a.test", paused, "one", now=100.0, at=at)
    assert (event.resumes_at, event.trouble) == (at + timedelta(seconds=30), "rate_limited")
    assert event.holds_until > at + timedelta(seconds=AGAIN_SECONDS)
    over = host_recorded("a.test", None, "one", now=100.0, at=at)
    assert (over.state, over.images_at_a_time, over.resumes_at) == ("steady", UNSET, UNSET)


class Kafka(EventProducer):
    """Takes no record at first, then loses one, then has them."""

    def __init__(self) -> None:
        self.tries = 0
        self.has: list[bytes] = []
        self.has_one = asyncio.Event()

    def send_bytes(self, topic: str, **record: Any) -> asyncio.Future[None]:
        assert (topic, record["partition"]) == (HOSTS, 0)
        self.tries += 1
        if self.tries == 1:
            raise DeliveryError("the queue is beyond repair")
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.tries == 2:
            delivery.set_exception(DeliveryError("there is no such topic"))
        else:
            self.has.append(record["value"])
            self.has_one.set()
            delivery.set_result(None)
        return delivery


async def test_what_kafka_does_not_take_is_not_told_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_log, "TELLING_SECONDS", 0.001)
    kafka, schedule = Kafka(), schedule_of()
    now = asyncio.get_running_loop().time()
    for server in ("a.test", "b.test", "c.test"):
        schedule.troubled(started(schedule, now, server), now, Code.TIMEOUT, 60.0)
    telling = asyncio.create_task(HostLog(kafka, schedule, source="/tests").run())
    async with asyncio.timeout(20):
        await kafka.has_one.wait()
    telling.cancel()
    with suppress(asyncio.CancelledError):
        await telling
    event = decode(HOSTS, kafka.has[0])
    assert (event.state, event.trouble) == ("asked_to_wait", Code.TIMEOUT)
