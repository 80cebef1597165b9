"""The end of jobs: stopped by people, finished, and every trace removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from msgspec.structs import replace

from imagelane.contracts.commands import CancelCustomer, CancelJob, DeleteCustomer, DeleteJob
from imagelane.contracts.events import JobFinished
from imagelane.core.recipes import list_key
from imagelane.intake.core.marks import Mark
from imagelane.intake.fanout import FanOut
from imagelane.intake.frozen_lists import Command, Found, FrozenLists
from imagelane.intake.notices import Notices
from imagelane.intake.removal import Removal
from imagelane.intake.road import Road
from imagelane.platform.work import WorkItem


class Endings:
    """Keeps what people decide, and when jobs end, beside the frozen lists.

    So it reaches whichever intake works on a list, even after a restart. A job's objects go when it is
    to be deleted *and* has finished: whichever of the two is kept second finds the other.
    """

    def __init__(
        self,
        lists: FrozenLists,
        fan_out: FanOut,
        road: Road,
        removal: Removal,
        notices: Notices,
        *,
        retention: timedelta,
    ) -> None:
        self._lists = lists
        self._fan_out = fan_out
        self._road = road
        self._removal = removal
        self._notices = notices
        self._retention = retention
        self._log = structlog.get_logger("imagelane.intake")

    async def follow(self, event: Command | JobFinished, item: WorkItem) -> None:
        """Does what the event says; a second time, that changes nothing.

        What was said longer ago than the retention is a replay: of such jobs nothing is left.
        """
        if datetime.now(UTC) - event.occurred_at > self._retention:
            return
        if isinstance(event, JobFinished):
            await self._finish(event, item)
        elif isinstance(event, CancelJob | DeleteJob):
            await self._end_job(event, item)
        else:
            await self._end_jobs(event, item)

    async def _end_job(self, command: CancelJob | DeleteJob, item: WorkItem) -> None:
        key = list_key(command.customer_id, command.job_id)
        await self._lists.obey(key, command)
        self._log.info(
            "job.stopped",
            customer_id=command.customer_id,
            job_id=command.job_id,
            decided_by=command.decided_by,
        )
        if isinstance(command, DeleteJob) and await self._lists.has(key, Mark.FINISHED):
            await self._delete(command.customer_id, [key], item)

    async def _end_jobs(self, command: CancelCustomer | DeleteCustomer, item: WorkItem) -> None:
        await self._lists.keep_order(command)
        is_deletion = isinstance(command, DeleteCustomer)
        finished = []
        async for key, found in self._lists.jobs(command.customer_id):
            if not await self._concerns(command, key, found):
                continue
            if is_deletion or Mark.FINISHED not in found:
                await self._lists.obey(key, command)
            if is_deletion and await self._lists.has(key, Mark.FINISHED):
                finished.append(key)
        self._log.info(
            "customer.stopped",
            customer_id=command.customer_id,
            decided_by=command.decided_by,
            deleted=is_deletion,
        )
        await self._delete(command.customer_id, finished, item)

    async def _concerns(
        self, command: CancelCustomer | DeleteCustomer, key: str, found: Found
    ) -> bool:
        frozen_at = found.get(None)
        if frozen_at is None:  # perhaps somebody died while removing it
            return Mark.DELETED in found and Mark.FINISHED in found
        if frozen_at <= command.occurred_at:  # and so it was handed in before; no need to read it
            return True
        header = await self._lists.header(key)
        return header is not None and header.was_handed_in_by(command.occurred_at)

    async def _finish(self, finished: JobFinished, item: WorkItem) -> None:
        key = list_key(finished.customer_id, finished.job_id)
        if not await self._lists.has(key, Mark.FINISHED):
            await self._tell(key, finished)
            await self._lists.mark(key, Mark.FINISHED, finished)
        if await self._lists.has(key, Mark.DELETED):
            await self._delete(finished.customer_id, [key], item)

    async def _tell(self, key: str, finished: JobFinished) -> None:
        """Before the mark: who dies in between tells the same notice again."""
        header = await self._lists.header(key)
        if header is not None:
            event = replace(finished, idempotency_key=header.idempotency_key)
            await self._notices.tell(event, header.notify_url)

    async def _delete(self, customer_id: str, keys: Sequence[str], item: WorkItem) -> None:
        """Removes finished jobs of a customer once nothing of them is under way any more."""
        places = self._fan_out.partitions_of(customer_id)
        if not keys or not await self._road.passed(places, given_up=lambda: item.revoked):
            return
        for key in keys:
            if item.revoked:
                return
            await self._removal.delete(key)
            self._log.info("job.deleted", key=key)
