"""What leaves this process: writes to the table, then events, then acknowledgements, in that order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from faust.types import AppT, EventT

from imagelane.batcher.core.decisions import Decisions
from imagelane.batcher.core.lanes import Lanes
from imagelane.batcher.leaving import Exit, leave
from imagelane.contracts.codec import Headers


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send. `topic` is the broker's name of it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None = None


@dataclass(slots=True)
class Batch:
    """What follows from some events of the inputs, in the order of their arrival."""

    events: list[EventT[bytes]] = field(default_factory=list)
    writes: list[Awaitable[object]] = field(default_factory=list)
    sends: list[Outgoing] = field(default_factory=list)
    decided: list[tuple[Lanes, Decisions]] = field(default_factory=list)


class Outbox:
    """Sees batches through. Anything that Kafka does not take ends the process."""

    on_confirmed: Callable[[], None]
    """Called when something has been confirmed to lanes, which may lead to more."""

    def __init__(self, app: AppT) -> None:
        self._app = app
        self._open: dict[asyncio.Task[None], Batch] = {}
        self._last: asyncio.Task[None] | None = None

    def add(self, batch: Batch) -> None:
        """Takes a batch whose writes are under way already."""
        if not (batch.writes or batch.sends or self._open):
            self._conclude(batch)
            return
        task = asyncio.get_running_loop().create_task(self._see_through(batch, self._last))
        self._open[task] = batch
        self._last = task
        task.add_done_callback(self._closed)

    def drop_acknowledgements(self) -> None:
        """The partitions are going: what was taken from them will be read again by its next owner."""
        for batch in self._open.values():
            batch.events.clear()

    async def drained(self, within_seconds: float) -> bool:
        """Waits until everything is durable. Whether it was in time."""
        if self._open:
            await asyncio.wait(set(self._open), timeout=within_seconds)
        return not self._open

    async def _see_through(self, batch: Batch, before: asyncio.Task[None] | None) -> None:
        await asyncio.gather(*batch.writes)
        await asyncio.gather(*[await self._send(one) for one in batch.sends])
        if before is not None:
            await before
        self._conclude(batch)

    async def _send(self, one: Outgoing) -> Awaitable[object]:
        return await self._app.producer.send(
            one.topic,
            key=one.key,
            value=one.value,
            partition=one.partition,
            timestamp=None,
            headers=one.headers,
        )

    def _conclude(self, batch: Batch) -> None:
        for lanes, decisions in batch.decided:
            lanes.confirm(decisions)
        for event in batch.events:
            event.ack()
        if batch.decided:
            self.on_confirmed()

    def _closed(self, task: asyncio.Task[None]) -> None:
        del self._open[task]
        if not task.cancelled() and (error := task.exception()):
            leave(Exit.NOT_DURABLE, "Kafka did not take what was written", error)
