"""The processor's loop: take a downloaded image, make its outputs, tell, delete the original, done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from msgspec import UNSET

from imagelane.contracts.codec import UnreadableRecordError, decode
from imagelane.contracts.events import ImageDownloaded, ImageProcessed
from imagelane.contracts.parts import Failure, Output
from imagelane.contracts.topics import DOWNLOADED
from imagelane.core.destinations import Destination
from imagelane.platform.dead_letters import send_dead_letter
from imagelane.platform.producer import EventProducer
from imagelane.platform.store import ObjectMissingError, ObjectStore, StoreUnavailableError
from imagelane.platform.tracing import Done
from imagelane.platform.work import WorkItem
from imagelane.processor.core.work import check, processed, work_of
from imagelane.processor.maker import Maker
from imagelane.processor.metrics import (
    KEPT_ORIGINALS,
    MAKING,
    ORIGINAL_BYTES,
    REPEATED,
    count,
)
from imagelane.processor.spans import PASS_ON, PROCESS

MAX_UNDER_WAY: Final = 1_000


class Downloads(Protocol):
    """Where downloaded images come from: a `WorkConsumer`."""

    async def take(self) -> WorkItem:
        """The next one, fair to every customer."""
        ...

    def unreadable(self) -> None:
        """An item becomes a dead letter."""
        ...

    def done(self, item: WorkItem) -> None:
        """Everything that follows from it is durable."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """What is to be told of an image; then its original may go."""

    event: ImageProcessed
    original_key: str | None


class Pipeline:
    """Processes what is downloaded until it is cancelled. Belongs to the running event loop."""

    def __init__(
        self,
        downloads: Downloads,
        producer: EventProducer,
        maker: Maker,
        originals: ObjectStore,
        destinations: dict[str, Destination],
        *,
        group: str,
        images_at_once: int,
    ) -> None:
        self._downloads = downloads
        self._producer = producer
        self._maker = maker
        self._originals = originals
        self._destinations = destinations
        self._group = group
        self._room = asyncio.Semaphore(images_at_once)
        self._under_way = asyncio.Semaphore(MAX_UNDER_WAY)
        self._closing = False
        self._time = asyncio.get_running_loop().time
        self._log = structlog.get_logger("imagelane.processor")

    async def run(self) -> None:
        """Raises what ended an image's task, such as `StoreUnavailableError`, in an `ExceptionGroup`."""
        async with asyncio.TaskGroup() as tasks:
            while not self._closing:
                await self._under_way.acquire()
                await self._room.acquire()  # only now: what is taken no longer takes turns
                tasks.create_task(self._handle(await self._downloads.take()))

    def close(self) -> None:
        """Takes nothing more once the loop turns; what is under way goes on."""
        self._closing = True

    async def _handle(self, item: WorkItem) -> None:
        try:
            finished = None if item.revoked else await self._finish(item)
        finally:
            self._room.release()
        if finished is not None and not item.revoked:
            await self._producer.send(finished.event, done=_done(item, finished))
            count(finished.event)
            if finished.original_key is not None:
                await self._forget(finished.original_key)
        self._downloads.done(item)
        self._under_way.release()

    async def _finish(self, item: WorkItem) -> Finished | None:
        """What is to be told, or None if there is nothing."""
        started_at = self._time()
        try:
            downloaded = _downloaded(item)
            outcome = await self._outcome(downloaded)
        except UnreadableRecordError as error:
            self._log.warning("record.unreadable", error=str(error), **_place(item))
            await send_dead_letter(self._producer, item.record, error, group=self._group)
            self._downloads.unreadable()
            return None
        except ObjectMissingError as error:
            # Originals are deleted only after their image was told: this record came once more.
            self._log.info("image.repeated", key=str(error), **_place(item))
            REPEATED.inc()
            return None
        seconds = self._time() - started_at
        MAKING.observe(seconds)
        event = processed(downloaded, outcome, seconds=seconds, now=datetime.now(UTC))
        original = downloaded.original
        if original is not UNSET:
            ORIGINAL_BYTES.inc(original.size_bytes)
        return Finished(event, None if original is UNSET else original.key)

    async def _outcome(self, downloaded: ImageDownloaded) -> list[Output] | Failure:
        work = work_of(downloaded, self._destinations)
        if isinstance(work, Failure):
            return work
        outcome = await self._maker.make(work)
        if isinstance(outcome, Failure):
            self._log.info(
                "image.failed",
                customer_id=downloaded.customer_id,
                job_id=downloaded.job_id,
                index=downloaded.index,
                code=outcome.code,
            )
        return outcome

    async def _forget(self, original_key: str) -> None:
        try:
            await self._originals.delete(original_key)
        except StoreUnavailableError as error:
            KEPT_ORIGINALS.inc()
            self._log.warning("original.kept", key=original_key, error=str(error))


def _downloaded(item: WorkItem) -> ImageDownloaded:
    downloaded: ImageDownloaded = decode(DOWNLOADED, item.record.value)
    check(downloaded, item.record.key)
    return downloaded


def _done(item: WorkItem, finished: Finished) -> Done:
    event, why = finished.event, finished.event.failure
    if finished.original_key is None:
        return Done(PASS_ON, item.record.headers)
    code = "" if why is UNSET else why.code
    return Done(PROCESS, item.record.headers, event.seconds, code)


def _place(item: WorkItem) -> dict[str, int]:
    return {"partition": item.record.partition, "offset": item.record.offset}
