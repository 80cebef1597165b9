"""Waiting until nothing can be under way: never too short, and one question for all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from imagelane.intake.road import Road
from imagelane.platform.lag import LagUnknownError


class FakeLag:
    """A broker's answers, set by hand."""

    def __init__(self) -> None:
        self.ends = {"requested": {0: 10, 1: 10}, "downloaded": {0: 10, 1: 10}}
        self.commits = {"downloader": {0: 10, 1: 10}, "processor": {0: 10, 1: 10}}
        self.questions = 0
        self.fails = 0

    async def end_offsets(self, topic: str) -> dict[int, int]:
        if self.fails:
            self.fails -= 1
            raise LagUnknownError("away")
        return dict(self.ends[topic])

    async def committed(self, service: str, _topic: str) -> dict[int, int]:
        self.questions += 1
        await asyncio.sleep(0)
        return dict(self.commits[service])


def road_over(lag: FakeLag) -> Road:
    reader: Any = lag
    return Road(reader, check_seconds=0.001)


def never() -> bool:
    return False


async def still_waits(waiting: asyncio.Task[bool]) -> bool:
    await asyncio.sleep(0.02)
    return not waiting.done()


async def test_an_empty_road_is_passed_at_once() -> None:
    assert await road_over(FakeLag()).passed({0, 1}, given_up=never)


async def test_both_services_must_have_passed_in_the_partitions_that_matter() -> None:
    lag = FakeLag()
    lag.commits["downloader"] = {0: 9, 1: 0}
    lag.commits["processor"] = {}
    waiting = asyncio.ensure_future(road_over(lag).passed({0}, given_up=never))
    assert await still_waits(waiting)
    lag.commits["downloader"] = {0: 10}
    assert await still_waits(waiting)
    lag.commits["processor"] = {0: 10}
    assert await waiting


async def test_what_comes_later_is_not_waited_for_but_what_came_of_the_first_step_is() -> None:
    lag = FakeLag()
    lag.commits["downloader"] = {0: 9}
    lag.commits["processor"] = {0: 10}
    waiting = asyncio.ensure_future(road_over(lag).passed({0}, given_up=never))
    assert await still_waits(waiting)
    lag.ends["requested"] = {0: 500}
    lag.ends["downloaded"] = {0: 11}  # the one that was under way has moved on
    lag.commits["downloader"] = {0: 10}
    assert await still_waits(waiting)
    lag.commits["processor"] = {0: 11}
    assert await waiting


async def test_a_broker_that_does_not_answer_is_asked_again() -> None:
    lag = FakeLag()
    lag.fails = 3
    assert await road_over(lag).passed({0}, given_up=never)


async def test_who_has_lost_the_record_stops_waiting() -> None:
    lag = FakeLag()
    lag.commits["downloader"] = {}
    lost = False
    given_up: Callable[[], bool] = lambda: lost  # noqa: E731 - closes over what changes below
    waiting = asyncio.ensure_future(road_over(lag).passed({0}, given_up=given_up))
    assert await still_waits(waiting)
    lost = True
    assert not await waiting


async def test_many_who_wait_ask_together() -> None:
    lag = FakeLag()
    road = road_over(lag)
    assert all(await asyncio.gather(*(road.passed({0}, given_up=never) for _ in range(100))))
    assert lag.questions < 20
