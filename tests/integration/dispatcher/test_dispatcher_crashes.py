"""The dispatcher dies, or seems to, at the worst moments: the API's journal shows each call once."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import get_args

import pytest
from tests.integration.dispatcher.conftest import (
    BatchServer,
    Rig,
    Rigs,
    urls,
)
from tests.waiting import eventually

from imagelane.dispatcher.settings import Failpoint

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


async def test_a_worker_killed_at_any_point_leaves_one_call(rigs: Rigs, api: BatchServer) -> None:
    """F02: after the plan, the attempt, the bytes, the answer, its record, the end; all at once."""
    failpoints = get_args(Failpoint)

    async def die_and_go_on(point: str, rig: Rig) -> None:
        victim = rig.start(failpoint=point)
        rig.request(point, 1, range(3))
        await eventually(lambda: victim.poll() is not None, within_seconds=60)
        assert victim.returncode == -signal.SIGKILL, point
        rig.start()
        done = await rig.resolved(point, 1, within_seconds=60)
        assert done.status == "completed", point
        rig.request(point, 2, range(2, 5))  # 2 was in the first call
        await rig.resolved(point, 2)

    await asyncio.gather(*(die_and_go_on(point, rigs()) for point in failpoints))
    for point in failpoints:
        assert len(api.of(point)) == 2, point
        assert api.urls_of(point) == urls(range(5)), point
    assert api.overlaps() == []


async def test_lost_answers_start_no_second_call(rig: Rig, api: BatchServer) -> None:
    rig.start()
    api.lose_answers = 3
    await asyncio.gather(*(rig.work(customer, calls=2) for customer in rig.customers(3)))
    assert api.lose_answers == 0
    assert api.overlaps() == []
    for customer in rig.customers(3):
        assert api.urls_of(customer) == urls(range(5, 15))


async def test_a_worker_that_was_asleep_leaves_and_overlaps_with_nobody(
    rig: Rig, api: BatchServer
) -> None:
    """F03: paused beyond its session while it makes calls; another one takes over; then it wakes."""
    api.seconds = 0.5
    one = rig.start("one")
    await eventually(lambda: "partitions.assigned" in rig.log_of(one))
    two = rig.start("two")
    await eventually(lambda: "partitions.assigned" in rig.log_of(two))
    customers = rig.customers(12)
    work = asyncio.gather(*(rig.work(customer, calls=12) for customer in customers))
    await eventually(lambda: len(api.journal) >= 30)
    assert "lane.active" in rig.log_of(one)
    one.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    before = len(api.journal)
    await eventually(lambda: rig.log_of(two).count("partitions.assigned") >= 2, within_seconds=60)
    await eventually(lambda: len(api.journal) >= before + 10)
    await eventually(lambda: time.monotonic() > stopped_at + 8)
    one.send_signal(signal.SIGCONT)
    assert await asyncio.to_thread(one.wait, 15) == 70
    await work
    assert api.overlaps() == []
    for customer in customers:
        assert api.urls_of(customer) == urls(range(5, 65))
        assert len(api.of(customer)) == 12


async def test_a_second_worker_of_the_same_name_shuts_the_first_one_out(
    rig: Rig, api: BatchServer
) -> None:
    one = rig.start("same")
    customers = rig.customers(8)
    await asyncio.gather(*(rig.work(customer, calls=1) for customer in customers))
    rig.start("same")
    await asyncio.gather(*(rig.work(customer, calls=12) for customer in customers))
    assert await asyncio.to_thread(one.wait, 30) == 1
    assert "fenced" in rig.log_of(one).lower()
    assert api.overlaps() == []
    for customer in customers:
        assert api.urls_of(customer) == urls(range(5, 65))
