"""Looking through what the private store holds, now and then: what is too old goes, what is lost is said again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from msgspec.structs import replace

from imagelane.contracts.codec import decode
from imagelane.contracts.events import JobSealed
from imagelane.contracts.topics import JOBS
from imagelane.intake.admission import Admission
from imagelane.intake.core.marks import Due, Mark, due
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.removal import Removal
from imagelane.intake.sealing import seal
from imagelane.intake.settings import IntakeSettings
from imagelane.intake.uploads import UploadedLists
from imagelane.platform.producer import EventProducer


class Tidying:
    """Goes by what lies there, so nothing has to be written down for it, and nothing can be missed.

    Several intakes may do so at a time: what one has removed, the other does not find.
    """

    def __init__(
        self,
        lists: FrozenLists,
        removal: Removal,
        admission: Admission,
        producer: EventProducer,
        uploads: UploadedLists,
        *,
        settings: IntakeSettings,
    ) -> None:
        self._lists = lists
        self._removal = removal
        self._admission = admission
        self._producer = producer
        self._uploads = uploads
        self._every_seconds = settings.tidy_every_seconds
        self._retention = timedelta(days=settings.retention_days)
        self._upload_retention = timedelta(days=settings.upload_retention_days)
        self._log = structlog.get_logger("imagelane.intake")

    async def keep_tidying(self) -> None:
        """For ever. Raises `StoreUnavailableError`."""
        while True:
            await asyncio.sleep(self._every_seconds)
            await self.tidy(datetime.now(UTC))

    async def tidy(self, now: datetime) -> None:
        """Once through all jobs, orders and uploads. Raises `StoreUnavailableError`."""
        reminded = sealed = forgotten = 0
        patience = timedelta(seconds=self._every_seconds)
        async for key, found in self._lists.jobs():
            match due(found, now, retention=self._retention, patience=patience):
                case Due.FORGET:
                    await self._removal.forget(key, found)
                    forgotten += 1
                case Due.REMIND:
                    reminded += await self._remind(key, now)
                case Due.SEAL:
                    sealed += await self._seal(key)
                case Due.NOTHING:
                    pass
        orders = await self._lists.forget_orders(now - self._retention)
        uploads = await self._uploads.forget_older(now - self._upload_retention)
        self._log.info(
            "store.tidied",
            forgotten=forgotten,
            reminded=reminded,
            sealed=sealed,
            orders=orders,
            uploads=uploads,
        )

    async def _remind(self, key: str, now: datetime) -> bool:
        """Says again that the job is sealed, for that may have been lost.

        If it was the job's end that was lost, the batcher tells that again, for it was before now.
        """
        kept = await self._lists.marked(key, Mark.SEALED)
        if kept is None:
            return False
        told: JobSealed = decode(JOBS, kept)
        await self._producer.send(replace(told, occurred_at=now))
        return True

    async def _seal(self, key: str) -> bool:
        """Ends the requesting of a list that nobody works on: what it lacks, the sweep asks for."""
        header = await self._lists.header(key)
        if header is None:
            return False
        await self._admission.tell(header)
        await seal(header, self._lists, self._producer)
        return True
