"""The dispatcher's one loop: a turn of the Kafka thread, then what follows from it, and again."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, ParamSpec, TypeVar

import structlog

from imagelane.contracts.events import CallCompleted
from imagelane.dispatcher.caller import Caller
from imagelane.dispatcher.ending import SENDING_SECONDS
from imagelane.dispatcher.errands import Happening, Restored, Turned
from imagelane.dispatcher.metrics import RESTORE_SECONDS
from imagelane.dispatcher.owner import LaneOwner
from imagelane.dispatcher.restoring import restore
from imagelane.dispatcher.spans import ANSWER
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings

HAPPENINGS_PER_TURN: Final = 100
RESTORING_THREADS: Final = 4

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Threads:
    """The one thread that all of Kafka's lane clients belong to, and those that read the log."""

    kafka: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "kafka"))
    restoring: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(RESTORING_THREADS, "restoring")
    )

    def close(self) -> None:
        """Lets the threads end by themselves."""
        self.kafka.shutdown(wait=False)
        self.restoring.shutdown(wait=False)


class Dispatching:
    """Runs until it is stopped, or raises what it cannot go on from."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        owner: LaneOwner,
        caller: Caller,
        producer: EventProducer,
        happenings: deque[Happening],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._caller = caller
        self._producer = producer
        self._happenings = happenings
        self._tasks = tasks
        self._threads = Threads()
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Takes turns until `stop` is set and no request is under way, or 12 seconds after it was set."""
        kafka = self._threads.kafka
        try:
            await _in(kafka, self._owner.open)
            while not stop.is_set():
                await self._turn()
            await self._finish_sending()
            self._caller.end_all()
            await _in(kafka, self._owner.close)
        finally:
            self._owner.abandon()
            self._threads.close()

    async def _turn(self) -> None:
        happened = [
            self._happenings.popleft()
            for _ in range(min(len(self._happenings), HAPPENINGS_PER_TURN))
        ]
        self._act(await _in(self._threads.kafka, self._owner.turn, happened))

    async def _finish_sending(self) -> None:
        self._stopping = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SENDING_SECONDS
        while self._caller.sending and loop.time() < deadline:
            await self._turn()

    def _act(self, turned: Turned) -> None:
        self._happenings.extendleft(reversed(turned.again))
        self._caller.allow_attempts(not turned.on_hold and not self._stopping)
        for customer_id in turned.idle:
            self._caller.end(customer_id)
        for errand in turned.errands:
            self._caller.begin(errand)
        for customer_id in turned.hinted:
            self._caller.hint(customer_id)
        if turned.told:
            sent = [
                self._producer.send(
                    event, partition=at, done=ANSWER if isinstance(event, CallCompleted) else None
                )
                for event, at in turned.told
            ]
            self._tasks.create_task(_all_delivered(sent))
        if turned.to_restore:
            self._tasks.create_task(self._restore(turned.to_restore))

    async def _restore(self, terms: dict[int, int]) -> None:
        still_wanted = partial(self._owner.still_owns, terms)
        began_at = time.monotonic()
        with RESTORE_SECONDS.time():
            books = await _in(
                self._threads.restoring, restore, self._settings, list(terms), still_wanted
            )
        structlog.get_logger("imagelane.restoring").info(
            "log.restored",
            partitions=sorted(books),
            lanes=sum(len(book.lanes) for book in books.values()),
            jobs=sum(len(book.jobs) for book in books.values()),
            seconds=round(time.monotonic() - began_at, 3),
        )
        self._happenings.append(Restored(terms, books))


async def _all_delivered(sent: Iterable[asyncio.Future[None]]) -> None:
    await asyncio.gather(*sent)


async def _in(
    threads: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    context = contextvars.copy_context()  # it names the service in the logs
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(threads, partial(context.run, call, *args, **kwargs))
