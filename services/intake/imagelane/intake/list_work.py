"""A list's way through intake: read, admitted, accepted, its images requested, sealed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.intake.admission import Admission
from imagelane.intake.core.frozen import FrozenHeader, read_entries, requests_of
from imagelane.intake.core.marks import Mark
from imagelane.intake.core.submissions import read_submission
from imagelane.intake.fanout import FanOut
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.metrics import ACTIVE, ADMITTING, LISTS
from imagelane.intake.sealing import seal
from imagelane.intake.settings import IntakeSettings
from imagelane.intake.slots import KeyedSlots
from imagelane.platform.dead_letters import send_dead_letter
from imagelane.platform.producer import EventProducer
from imagelane.platform.store import ObjectMissingError
from imagelane.platform.work import WorkConsumer, WorkItem

MAX_ADMISSIONS: Final = 256
MAX_JOBS: Final = 1_000_000  # the consumer's own limits come long before
STOP_CHECK_SECONDS: Final = 1.0


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

    A list that is cancelled, deleted or past its deadline is sealed with its full number of images all
    the same: the batcher settles the ones that were never requested as cancelled, so the job ends and
    its counts add up.
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
        if rest is None:
            self._work.done(item)
            return
        with ACTIVE.track_inprogress():
            if await self._hand_over(item, rest):
                self._work.done(item)

    async def _admit(self, item: WorkItem) -> Rest | None:
        try:
            submission = read_submission(item.record)
        except UnreadableRecordError as error:
            await send_dead_letter(self._producer, item.record, error, group=self._group)
            self._work.unreadable()
            self._log.warning("record.unreadable", topic=item.record.topic, reason=str(error))
            return None
        async with self._admissions.slot(submission.submitted.customer_id):
            began_at = self._time()
            with ADMITTING.time():
                accepted = await self._admission.admit(submission)
            if accepted is None:
                return None
            LISTS.labels("accepted" if accepted.is_new else "repeated").inc()
            if accepted.is_new:
                rest = Rest(accepted.header, 0)
            elif await self._lists.has(accepted.header.key, Mark.SEALED):
                return None
            else:
                rest = Rest(accepted.header, _start_of(item.note))
            if rest.start == 0:
                seconds = self._time() - began_at
                await self._admission.tell(rest.header, cause=item.record.headers, seconds=seconds)
            for order in await self._lists.orders_for(rest.header):
                await self._lists.obey(rest.header.key, order)
            return rest

    async def _hand_over(self, item: WorkItem, rest: Rest) -> bool:
        """Whether nothing of the list is left to do; False if the record is another intake's by now."""
        header = rest.header
        # A submission is often sent again while its list is still at work: once is enough.
        async with self._jobs.slot(header.job_id), self._active.slot(header.customer_id):
            if await self._lists.has(header.key, Mark.SEALED):
                return True
            try:
                if not await self._request_images(item, rest):
                    return False
            except (
                ObjectMissingError
            ):  # while it waited here, another intake saw the job to its end
                self._log.warning("list.gone", customer_id=header.customer_id, job_id=header.job_id)
                return True
            await seal(header, self._lists, self._producer)
            return True

    async def _request_images(self, item: WorkItem, rest: Rest) -> bool:
        header, index = rest.header, rest.start
        check_at = 0.0
        async with self._lists.reading(header.key) as (_, lines):
            for entries in read_entries(lines, index, self._chunk_images):
                if item.revoked:
                    return False
                if (now := self._time()) >= check_at:
                    check_at = now + STOP_CHECK_SECONDS
                    if await self._is_stopped(header):
                        self._log.info(
                            "list.stopped",
                            customer_id=header.customer_id,
                            job_id=header.job_id,
                            requested=index,
                        )
                        break
                await self._fan_out.send(requests_of(header, index, entries, datetime.now(UTC)))
                index += len(entries)
                self._work.note(item, str(index))
        return True

    async def _is_stopped(self, header: FrozenHeader) -> bool:
        return header.is_over_at(datetime.now(UTC)) or await self._lists.has(
            header.key, Mark.STOPPED
        )


def _start_of(note: str | None) -> int:
    return int(note) if note is not None and note.isdecimal() else 0
