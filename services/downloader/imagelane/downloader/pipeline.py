"""The downloader's loop: take a request, wait for its server's turn, fetch, store, tell.

An image costs one task while it is fetched, and none while it waits.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import SystemRandom
from typing import Final, Protocol

import structlog
from msgspec import UNSET

from imagelane.contracts.codec import UnreadableRecordError, decode
from imagelane.contracts.events import ImageDownloaded, ImageRequested
from imagelane.contracts.parts import Failure
from imagelane.contracts.topics import REQUESTED
from imagelane.core.admission import AdmissionPolicy, AdmittedUrl, UrlRefusedError, admit
from imagelane.core.failures import Code, failure
from imagelane.core.recipes import original_key
from imagelane.downloader import metrics
from imagelane.downloader.core.backlog import Backlog
from imagelane.downloader.core.rates import rated_domain
from imagelane.downloader.core.retries import retry_delay_seconds
from imagelane.downloader.core.schedule import HostSchedule, Start
from imagelane.downloader.core.shares import CustomerShares
from imagelane.downloader.fetch import Fetched, OriginalFetcher
from imagelane.downloader.outcomes import downloaded, failed
from imagelane.downloader.settings import DownloaderSettings
from imagelane.downloader.spans import without_value
from imagelane.platform.fetch_errors import FetchError
from imagelane.platform.store import StoreUnavailableError
from imagelane.platform.work import WorkItem

MAX_UNDER_WAY: Final = 1_000
TAKEN_IN_A_ROW: Final = 32
READY_PER_SLOT: Final = 2  # of one customer, so that there is a choice of customers for every slot
STORE_WAITS_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
NO_ANSWER: Final = frozenset({Code.UNREACHABLE, Code.URL_REFUSED, Code.TLS_ERROR})
"""Lasting failures that say nothing about how much a server bears."""


class Requests(Protocol):
    """Where requests come from: a `WorkConsumer`."""

    async def take(self) -> WorkItem:
        """The next request, fair to every customer."""
        ...

    def hold(self, item: WorkItem) -> None:
        """Nothing more of the item's customer until `resume`."""
        ...

    def resume(self, item: WorkItem) -> None:
        """The customer takes its turns again."""
        ...


class Outcomes(Protocol):
    """Where outcomes go: `Deliveries`. Requests are done when they have arrived."""

    under_way: int

    def tell(self, item: WorkItem, event: ImageDownloaded) -> None:
        """The image's one outcome."""
        ...

    def bury(self, item: WorkItem, error: UnreadableRecordError) -> None:
        """The request cannot be read."""
        ...


@dataclass(slots=True, eq=False)
class Image:
    """One requested image, from `take` to its outcome."""

    item: WorkItem
    requested: ImageRequested
    url: AdmittedUrl
    server: str
    tries: int = 0
    first_try_at: float = 0.0


class Pipeline:
    """Fetches what is requested until it is cancelled. Belongs to the running event loop."""

    def __init__(
        self,
        requests: Requests,
        outcomes: Outcomes,
        fetcher: OriginalFetcher,
        policy: AdmissionPolicy,
        backlog: Backlog,
        settings: DownloaderSettings,
    ) -> None:
        self._requests = requests
        self._outcomes = outcomes
        self._fetcher = fetcher
        self._policy = policy
        self._backlog = backlog
        self._settings = settings
        self.schedule: HostSchedule[Image] = HostSchedule(
            settings.concurrency, settings.pace(), settings.rates
        )
        self._gauges = metrics.ScheduleGauges()
        self._shares = CustomerShares(
            settings.waiting_images_per_customer,
            settings.waiting_images,
            enough=READY_PER_SLOT * settings.concurrency,
        )
        self._tasks = asyncio.TaskGroup()
        self._time = asyncio.get_running_loop().time
        self._random = SystemRandom()
        self._room = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._closing = False
        self._log = structlog.get_logger("imagelane.downloader")

    async def run(self) -> None:
        """Raises what ended a task: `StoreUnavailableError` above all, in an `ExceptionGroup`."""
        try:
            async with self._tasks:
                self.go_on()
                await self._take()
        finally:
            self.close()

    def close(self) -> None:
        """Takes and starts nothing more; what is under way goes on until `run` is cancelled."""
        self._closing = True
        self._room.clear()
        if self._alarm is not None:
            self._alarm.cancel()

    def go_on(self) -> None:
        """Starts what may start now. To be called whenever something outside has changed."""
        now = self._time()
        while not self._is_held() and (start := self.schedule.next(now)) is not None:
            image = start.work
            self._leave(image)
            if image.item.revoked:
                self.schedule.released(start, now)
            else:
                self._tasks.create_task(self._try(start))
        self._set_alarm(now)
        if self.schedule.waiting < self._settings.waiting_images and not self._is_held():
            self._room.set()
        else:
            self._room.clear()

    @property
    def held(self) -> str:
        """Why it fetches nothing, on purpose."""
        return "the processor is behind" if self._backlog.is_full else ""

    def measure(self) -> None:
        """Shows how it stands, to be called about once a second."""
        metrics.HELD.set(self._backlog.is_full)
        self._gauges.show(self.schedule)

    async def _take(self) -> None:
        taken = 0
        while True:
            await self._room.wait()
            self._accept(await self._requests.take())
            self.go_on()
            taken += 1
            if taken % TAKEN_IN_A_ROW == 0:
                await asyncio.sleep(0)  # neither wait above gives way while there is plenty

    def _accept(self, item: WorkItem) -> None:
        try:
            requested = _requested(item)
        except UnreadableRecordError as error:
            record = item.record
            self._log.warning(
                "request.unreadable",
                partition=record.partition,
                offset=record.offset,
                error=str(error),
            )
            self._outcomes.bury(item, error)
            return
        if requested.defect is not UNSET:
            self._fail(item, requested, requested.defect)
            return
        try:
            url = admit(requested.url, self._policy)
        except UrlRefusedError as error:
            self._fail(item, requested, failure(error.code, error.detail))
            return
        server = rated_domain(url.host, self._settings.rates) or url.server
        item.record = without_value(item.record)  # it may wait for long
        self._wait(Image(item, requested, url, server), due=None)
        self._give_up_waiting(server)

    async def _try(self, start: Start[Image]) -> None:
        image = start.work
        image.tries += 1
        image.first_try_at = image.first_try_at or start.started_at
        try:
            fetched = await self._fetched(image)
        except FetchError as error:
            self._after_failure(start, error)
        except BaseException:
            self.close()  # the task group is ending: it takes nothing new
            raise
        else:
            now = self._time()
            self.schedule.answered(start, now, fetched.answer_seconds)
            metrics.ANSWERS.observe(fetched.answer_seconds)
            self._backlog.stored(fetched.original.size_bytes)
            seconds = now - image.first_try_at
            self._tell(image.item, downloaded(image.requested, fetched.original, seconds=seconds))
        self.go_on()

    async def _fetched(self, image: Image) -> Fetched:
        """Waits in place while the store is down: nothing else could be stored either."""
        key = original_key(image.requested.job_id, image.requested.index)
        for wait_seconds in STORE_WAITS_SECONDS:
            try:
                return await self._fetcher.fetch(image.url, key)
            except StoreUnavailableError as error:
                self._log.warning("store.unavailable", error=str(error), again_in=wait_seconds)
            await asyncio.sleep(wait_seconds)
        return await self._fetcher.fetch(image.url, key)

    def _after_failure(self, start: Start[Image], error: FetchError) -> None:
        image, now = start.work, self._time()
        if error.transient:
            self.schedule.troubled(start, now, error.code, error.retry_after_seconds)
        elif error.code in NO_ANSWER:
            self.schedule.released(start, now)
        else:
            self.schedule.answered(start, now, None)
        if error.transient and image.tries <= self._settings.retries:
            delay_seconds = retry_delay_seconds(
                image.tries, self._random.random(), retry_after_seconds=error.retry_after_seconds
            )
            metrics.RETRIES.labels(error.code).inc()
            self._wait(image, due=now + delay_seconds)
        else:
            self._fail_image(image, failure(error.code, error.detail))
        self._give_up_waiting(start.server)

    def _give_up_waiting(self, server: str) -> None:
        for image, code in self.schedule.abandoned(server, self._time()):
            self._leave(image)
            metrics.GIVEN_UP.inc()
            self._fail_image(image, failure(code))

    def _wait(self, image: Image, *, due: float | None) -> None:
        customer = image.requested.customer_id
        if due is None:
            self.schedule.put(image.server, customer, image, self._time())
        else:
            self.schedule.put_later(image.server, customer, image, due)
        if self._shares.enters(customer, self.schedule.ready.get(customer, 0)):
            self._requests.hold(image.item)

    def _leave(self, image: Image) -> None:
        customer = image.requested.customer_id
        if self._shares.leaves(customer, self.schedule.ready.get(customer, 0)):
            self._requests.resume(image.item)

    def _fail_image(self, image: Image, why: Failure) -> None:
        seconds = self._time() - image.first_try_at if image.tries else 0.0
        self._fail(image.item, image.requested, why, seconds=seconds)

    def _fail(
        self, item: WorkItem, requested: ImageRequested, why: Failure, *, seconds: float = 0.0
    ) -> None:
        self._tell(item, failed(requested, why, seconds=seconds))

    def _tell(self, item: WorkItem, event: ImageDownloaded) -> None:
        if not item.revoked:
            metrics.count(event)
            self._outcomes.tell(item, event)

    def _is_held(self) -> bool:
        return self._closing or self._backlog.is_full or self._outcomes.under_way >= MAX_UNDER_WAY

    def _set_alarm(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        wakes_at = self.schedule.wakes_at()
        if wakes_at is not None and not self._is_held():
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_at(max(wakes_at, now), self.go_on)


def _requested(item: WorkItem) -> ImageRequested:
    requested: ImageRequested = decode(REQUESTED, item.record.value)
    if item.record.key != requested.customer_id.encode():
        raise UnreadableRecordError("the record's key is not the customer in it")
    return requested
