"""Requests for images: a chunk of each list in turn, and only as far ahead as the downloader follows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from imagelane.contracts.events import ImageRequested
from imagelane.contracts.topics import REQUESTED
from imagelane.core.partitioning import spread_partition
from imagelane.intake.core.room import Room
from imagelane.intake.metrics import REQUESTED as REQUESTED_IMAGES
from imagelane.intake.metrics import ROOM
from imagelane.intake.spans import REQUEST, REQUEST_AGAIN
from imagelane.platform.lag import LagReader, LagUnknownError
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.tracing import Done

DOWNLOADER: Final = "downloader"
FIRST: Final = Done(REQUEST)
AGAIN: Final = Done(REQUEST_AGAIN)


class FanOut:
    """Sends requests within the back-pressure bound.

    Whoever sends has one chunk on its way at most, and waits for room in the order of arrival; so
    lists take turns by themselves, and a small one is through while a large one is at its start.
    """

    def __init__(
        self,
        producer: EventProducer,
        lag: LagReader,
        kafka: KafkaSettings,
        *,
        max_unread: int,
        lag_seconds: float,
    ) -> None:
        self._producer = producer
        self._lag = lag
        self._kafka = kafka
        self._lag_seconds = lag_seconds
        self._room = Room(max_unread)
        self._measured = asyncio.Event()
        self._wanted = asyncio.Event()
        self._users = 0
        self._log = structlog.get_logger("imagelane.intake")

    async def send(self, images: Sequence[ImageRequested]) -> None:
        """Sends the chunk in its order, as room comes; returns when all of it is delivered."""
        partitions = [self.partition_of(one.customer_id, one.index) for one in images]
        at = 0
        with self._in_use():
            while at < len(images):
                with ROOM.time():
                    upto = at + await self._granted(partitions[at:])
                pairs = zip(images[at:upto], partitions[at:upto], strict=True)
                await asyncio.gather(*(self._send(one, place) for one, place in pairs))
                self._room.delivered(partitions[at:upto])
                REQUESTED_IMAGES.inc(upto - at)
                at = upto

    def partition_of(self, customer: str, index: int) -> int:
        """The partition of `requested` for an image."""
        kafka = self._kafka
        return spread_partition(
            customer, index, partitions=kafka.spread_partitions, spread=kafka.spread
        )

    def partitions_of(self, customer: str) -> set[int]:
        """Every partition of `requested` and `downloaded` that the customer's images may be on."""
        return {self.partition_of(customer, index) for index in range(self._kafka.spread)}

    def _send(self, image: ImageRequested, partition: int) -> asyncio.Future[None]:
        # With a spread of 1 the producer's own partitioner gives the same answer, and it knows the
        # broker's number of partitions instead of believing a setting.
        explicit = partition if self._kafka.spread > 1 else None
        done = FIRST if image.round == 0 else AGAIN
        return self._producer.send(image, partition=explicit, done=done)

    async def keep_measuring(self) -> None:
        """Reads the downloader's lag again and again while anybody sends. Runs until it is cancelled."""
        while True:
            await self._wanted.wait()
            reading = self._room.begin_reading()
            try:
                unread = await self._lag.unread(DOWNLOADER, REQUESTED)
            except LagUnknownError as error:  # the old reading holds: at the bound, lists wait
                self._log.warning("lag.unknown", error=str(error))
            else:
                self._room.finish_reading(reading, unread)
                self._measured.set()  # wakes those who wait, in the order in which they came
                self._measured.clear()
            await asyncio.sleep(self._lag_seconds)

    async def _granted(self, partitions: Sequence[int]) -> int:
        while not (fitting := self._room.grant(partitions)):
            await self._measured.wait()
        return fitting

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        self._users += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._wanted.clear()
