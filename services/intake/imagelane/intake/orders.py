"""What others ask of intake about lists it has accepted: images again, an end, every trace removed."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from imagelane.contracts.codec import UnreadableRecordError, decode, key_of
from imagelane.contracts.commands import ReleaseLane
from imagelane.contracts.events import ImagesMissing
from imagelane.contracts.image_sets import UnreadableImageSetError
from imagelane.intake.endings import Endings
from imagelane.intake.metrics import ORDERS, tag_of
from imagelane.intake.repeats import Repeats
from imagelane.platform.dead_letters import send_dead_letter
from imagelane.platform.producer import EventProducer
from imagelane.platform.work import WorkConsumer, WorkItem

MAX_AT_A_TIME: Final = 512
"""Most of them wait for the road, which costs nothing; so few must not be in the way of a cancel."""


class OrderWork:
    """Works on every record of `missing`, `commands` and `finished`."""

    def __init__(
        self,
        work: WorkConsumer,
        repeats: Repeats,
        endings: Endings,
        producer: EventProducer,
        *,
        group: str,
    ) -> None:
        self._work = work
        self._repeats = repeats
        self._endings = endings
        self._producer = producer
        self._group = group
        self._slots = asyncio.Semaphore(MAX_AT_A_TIME)
        self._log = structlog.get_logger("imagelane.intake")

    async def run(self) -> None:
        """Until it is cancelled, or the first error that is not the record's."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._slots.acquire()
                item = await self._work.take()
                tasks.create_task(self._handle(item))

    async def _handle(self, item: WorkItem) -> None:
        try:
            await self._follow(item)
        except (UnreadableRecordError, UnreadableImageSetError) as error:
            await send_dead_letter(self._producer, item.record, error, group=self._group)
            self._work.unreadable()
            self._log.warning("record.unreadable", topic=item.record.topic, reason=str(error))
        finally:
            self._slots.release()
        self._work.done(item)

    async def _follow(self, item: WorkItem) -> None:
        record = item.record
        event = decode(record.topic, record.value)
        if item.misplaced or record.key != key_of(event):
            raise UnreadableRecordError(
                "the key is not customer_id, or the partition not the key's"
            )
        if isinstance(event, ImagesMissing):
            await self._repeats.request(event, item)
        elif not isinstance(event, ReleaseLane):  # which is the dispatcher's affair
            await self._endings.follow(event, item)
        ORDERS.labels(tag_of(type(event))).inc()
