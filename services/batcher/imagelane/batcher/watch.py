"""Timers: alarms for lanes, and the looks at whether this process still gets on."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP, AppT

from imagelane.batcher.clock import now
from imagelane.batcher.core.census import Census
from imagelane.batcher.core.order import Place
from imagelane.batcher.heartbeat import Heartbeat
from imagelane.batcher.inlet import Inlet
from imagelane.batcher.leaving import Exit, leave
from imagelane.batcher.metrics import show
from imagelane.batcher.ownership import Ownership
from imagelane.batcher.settings import BatcherSettings
from imagelane.platform.topology import TopologyError, TopologyWatch

CENSUS_SECONDS: Final = 5.0
LOOKS_PER_LIMIT: Final = 4
BROKER_SECONDS: Final = 10.0


async def tick(
    inlet: Inlet, ownership: Ownership, heartbeat: Heartbeat, settings: BatcherSettings
) -> None:
    """Several times a second, for ever: sends due alarms; leaves after a pause, or a skipped record."""
    while True:
        await asyncio.sleep(settings.tick_every_seconds)
        heartbeat.beat()
        inlet.tick()
        if not ownership.is_open:
            continue
        skipped = ownership.guard.overdue(now().seconds, settings.order_patience_seconds)
        if skipped is not None:
            leave(
                Exit.OUT_OF_ORDER,
                "records were skipped and did not come",
                topic=skipped.topic,
                partition=skipped.partition,
                waiting_for=ownership.guard.positions[skipped],
            )


async def take_census(ownership: Ownership) -> None:
    """Every few seconds, for ever: shows how the lanes stand."""
    while True:
        await asyncio.sleep(CENSUS_SECONDS)
        census = Census()
        for lanes in list(ownership.lanes.values()) if ownership.is_open else ():
            census.count(lanes, now())
            await asyncio.sleep(0)  # one partition may have many lanes, and there are several
        show(census)


async def guard_topics(topology: TopologyWatch) -> None:
    """For ever: leaves when the topics are not what they were made as."""
    try:
        await topology.stand_guard()
    except TopologyError as error:
        leave(Exit.WRONG_PARTITIONS, str(error))


async def watch_progress(app: AppT, ownership: Ownership, limit_seconds: float) -> None:
    """For ever: leaves when records wait and none is taken, or the gate stays shut.

    Faust was seen to say "ready" all along while it did nothing.
    """
    before: dict[Place, int] = {}
    moved_at = now().seconds
    while True:
        await asyncio.sleep(limit_seconds / LOOKS_PER_LIMIT)
        if not ownership.is_open:
            if now().seconds - max(ownership.shut_since_seconds, moved_at) > limit_seconds:
                leave(Exit.NO_PROGRESS, "no partitions could be taken over for too long")
            continue
        positions = ownership.guard.positions
        if positions != before or await _lag(app, positions) == 0:
            before, moved_at = positions, now().seconds
        elif now().seconds - moved_at > limit_seconds:
            leave(Exit.NO_PROGRESS, "records wait, and none is taken")


async def _lag(app: AppT, positions: dict[Place, int]) -> int:
    """How many records wait; 0 while the broker does not answer, since then nothing can be said."""
    places = {TP(*place) for place in positions}
    if not places:
        return 0
    try:
        # Not wait_for, which may lose a cancellation (Python 3.11).
        async with asyncio.timeout(BROKER_SECONDS):
            ends = await app.consumer.highwaters(*places)
    except (KafkaError, TimeoutError) as error:
        structlog.get_logger("imagelane.batcher").warning("lag.unknown", error=str(error))
        return 0
    return sum(max(ends[TP(*place)] - offset, 0) for place, offset in positions.items())
