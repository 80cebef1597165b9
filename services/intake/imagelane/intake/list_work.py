"""A list's way through intake: read, admitted, accepted, its images requested, sealed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.events import JobSealed
from imagelane.intake.admission import Admission
from imagelane.intake.core.frozen import FrozenHeader, read_entries, requests_of
from imagelane.intake.core.submissions import read_submission
from imagelane.intake.fanout import FanOut
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.settings import IntakeSettings
from imagelane.intake.slots import KeyedSlots
from imagelane.platform.dead_letters import send_dead_letter
from imagelane.platform.producer import EventProducer
from imagelane.platform.work import WorkConsumer, WorkItem

MAX_ADMISSIONS: Final = 256
MAX_JOBS: Final = 1_000_000  # the consumer's own limits come long before
CANCEL_CHECK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Rest:
    """What of an accepted list is still to be requested: everything from index `start` on."""

    header: FrozenHeader
    start: int


class ListWork:
    """Works on every record of `urls`, many at a time.

    A record is done only when its list was refused, or its last image is requested and `job.sealed`
    delivered. Until then progress is noted with the consumer's commits, and whichever intake gets
    the record next goes on there, from the frozen copy.

    A cancelled list is sealed with its full number of images all the same: the batcher settles the
    ones that were never requested as cancelled, so the job ends and its counts add up.
    """

    def __init__(
        self,
        work: WorkConsumer,
        admission: Admission,
        lists: FrozenLists,
        fan_out: FanOut,
        producer: EventProducer,
        *,
        settings: IntakeSettings,
        group: str,
    ) -> None:
        self._work = work
        self._admission = admission
        self._lists = lists
        self._fan_out = fan_out
        self._producer = producer
        self._chunk_images = settings.chunk_images
        self._group = group
        self._unadmitted = asyncio.Semaphore(MAX_ADMISSIONS)
        self._admissions = KeyedSlots(MAX_ADMISSIONS, per_key=settings.fetches_per_customer)
        self._jobs = KeyedSlots(MAX_JOBS, per_key=1)
        self._active = KeyedSlots(settings.active_lists, per_key=settings.active_lists_per_customer)
        self._time = asyncio.get_running_loop().time
        self._log = structlog.get_logger("imagelane.intake")

    async def run(self) -> None:
        """Until it is cancelled, or the first error that is not the list's."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._unadmitted.acquire()
                item = await self._work.take()
                tasks.create_task(self._handle(item))

    async def _handle(self, item: WorkItem) -> None:
        try:
            rest = await self._admit(item)
        finally:
            self._unadmitted.release()
        # The frozen copy has it all: lists that wait for their turn need not hold their records.
        item.record = replace(item.record, value=None)
        if rest is None or await self._hand_over(item, rest):
            self._work.done(item)

    async def _admit(self, item: WorkItem) -> Rest | None:
        try:
            submission = read_submission(item.record)
        except UnreadableRecordError as error:
            await send_dead_letter(self._producer, item.record, error, group=self._group)
            self._log.warning("record.unreadable", topic=item.record.topic, reason=str(error))
            return None
        async with self._admissions.slot(submission.submitted.customer_id):
            accepted = await self._admission.admit(submission)
            if accepted is None:
                return None
            if accepted.is_new:
                rest = Rest(accepted.header, 0)
            elif await self._lists.is_sealed(accepted.header.job_id):
                return None
            else:
                rest = Rest(accepted.header, _start_of(item.note))
            if rest.start == 0:
                await self._admission.tell(rest.header)
            return rest

    async def _hand_over(self, item: WorkItem, rest: Rest) -> bool:
        """Whether the list is sealed; False if the record is another intake's by now."""
        header = rest.header
        # A submission is often sent again while its list is still at work: once is enough.
        async with self._jobs.slot(header.job_id), self._active.slot(header.customer_id):
            if await self._lists.is_sealed(header.job_id):
                return True
            if not await self._request_images(item, rest):
                return False
            await self._seal(header)
            return True

    async def _request_images(self, item: WorkItem, rest: Rest) -> bool:
        header, index = rest.header, rest.start
        check_at = 0.0
        async with self._lists.reading(header.job_id) as (_, lines):
            for entries in read_entries(lines, index, self._chunk_images):
                if item.revoked:
                    return False
                if (now := self._time()) >= check_at:
                    check_at = now + CANCEL_CHECK_SECONDS
                    if await self._lists.is_cancelled(header):
                        self._log.info("list.cancelled", job_id=header.job_id, requested=index)
                        break
                await self._fan_out.send(requests_of(header, index, entries, datetime.now(UTC)))
                index += len(entries)
                self._work.note(item, str(index))
        return True

    async def _seal(self, header: FrozenHeader) -> None:
        await self._producer.send(
            JobSealed(
                customer_id=header.customer_id,
                job_id=header.job_id,
                recipe=header.recipe,
                destination=header.destination,
                images=header.images,
                occurred_at=datetime.now(UTC),
            )
        )
        await self._lists.mark_sealed(header.job_id)
        self._log.info(
            "list.sealed",
            customer_id=header.customer_id,
            job_id=header.job_id,
            images=header.images,
        )


def _start_of(note: str | None) -> int:
    return int(note) if note is not None and note.isdecimal() else 0
