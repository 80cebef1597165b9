"""What others ask of intake about lists it has accepted: request lost images again, stop a job."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import structlog
from pyroaring import BitMap

from imagelane.contracts.codec import UnreadableRecordError, decode, key_of
from imagelane.contracts.commands import CancelJob
from imagelane.contracts.events import Event, ImagesMissing
from imagelane.contracts.image_sets import UnreadableImageSetError, unpack
from imagelane.contracts.topics import DOWNLOADED, REQUESTED
from imagelane.intake.core.frozen import FrozenHeader, read_entries, requests_of
from imagelane.intake.fanout import FanOut
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.settings import IntakeSettings
from imagelane.platform.dead_letters import send_dead_letter
from imagelane.platform.lag import LagReader, LagUnknownError
from imagelane.platform.producer import EventProducer
from imagelane.platform.store import ObjectMissingError
from imagelane.platform.work import WorkConsumer, WorkItem

MAX_AT_A_TIME: Final = 64
DOWNLOADER: Final = "downloader"
PROCESSOR: Final = "processor"


class OrderWork:
    """Works on every record of `missing` and `commands`.

    A `cancel.job` is kept beside the frozen list, so that it reaches the intake that works on the
    list, whichever that is and even after a restart.
    """

    def __init__(
        self,
        work: WorkConsumer,
        lists: FrozenLists,
        fan_out: FanOut,
        lag: LagReader,
        producer: EventProducer,
        *,
        settings: IntakeSettings,
        group: str,
    ) -> None:
        self._work = work
        self._lists = lists
        self._fan_out = fan_out
        self._lag = lag
        self._producer = producer
        self._settings = settings
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
            self._log.warning("record.unreadable", topic=item.record.topic, reason=str(error))
        finally:
            self._slots.release()
        self._work.done(item)

    async def _follow(self, item: WorkItem) -> None:
        record = item.record
        order: Event = decode(record.topic, record.value)
        if item.misplaced or record.key != key_of(order):
            raise UnreadableRecordError(
                "the key is not customer_id, or the partition not the key's"
            )
        if isinstance(order, CancelJob):
            await self._lists.mark_cancelled(order)
            self._log.info("job.cancelled", job_id=order.job_id, decided_by=order.decided_by)
        elif isinstance(order, ImagesMissing):
            await self._request_again(item, order)

    async def _request_again(self, item: WorkItem, missing: ImagesMissing) -> None:
        """Sends the images once more, when nothing of them can still be under way.

        A request that was delivered before this record came is behind the downloader's commit, and
        so on `downloaded`, before the end of that topic is noted in its turn; hence one after the
        other. It does not matter here whether the job is cancelled: the batcher knows, and asks only
        for what it needs to finish the job.
        """
        wanted = unpack(missing.images)
        if not wanted:
            raise UnreadableRecordError("images: none are named")
        places = {self._fan_out.partition_of(missing.customer_id, index) for index in wanted}
        for service, topic in ((DOWNLOADER, REQUESTED), (PROCESSOR, DOWNLOADED)):
            await self._passed(service, topic, places, item)
        if item.revoked:
            return
        try:
            async with self._lists.reading(missing.job_id) as (header, lines):
                if header.customer_id != missing.customer_id:
                    raise UnreadableRecordError("customer_id: the job is another customer's")
                await self._send(header, lines, wanted, missing.round)
        except ObjectMissingError as error:
            raise UnreadableRecordError("job_id: no list of such a job was accepted") from error
        self._log.warning(
            "images.requested_again",
            job_id=missing.job_id,
            images=len(wanted),
            round=missing.round,
        )

    async def _send(
        self, header: FrozenHeader, lines: Iterator[bytes], wanted: BitMap, sweep_round: int
    ) -> None:
        first = wanted.min()
        for entries in read_entries(lines, first, self._settings.chunk_images):
            requests = requests_of(header, first, entries, datetime.now(UTC), sweep_round)
            await self._fan_out.send([one for one in requests if one.index in wanted])
            first += len(entries)
            if first > wanted.max():
                return

    async def _passed(self, service: str, topic: str, places: set[int], item: WorkItem) -> None:
        """Waits until the service's group has committed all that the topic holds now."""
        ends: dict[int, int] = {}
        while not item.revoked:
            try:
                ends = ends or await self._lag.end_offsets(topic)
                committed = await self._lag.committed(service, topic)
            except LagUnknownError as error:
                self._log.warning("lag.unknown", error=str(error))
            else:
                if all(committed.get(place, 0) >= ends[place] for place in places):
                    return
            await asyncio.sleep(self._settings.sweep_check_seconds)
