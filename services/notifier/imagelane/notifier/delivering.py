"""Posting what is due, and writing down what came of it. At least once: a notice is over when Kafka has that."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from msgspec import UNSET

from imagelane.contracts.notices import NoticeRecorded, notice_key
from imagelane.notifier.core.attempts import Attempt, Schedule, ended
from imagelane.notifier.core.lanes import Lanes, Waiting
from imagelane.notifier.metrics import ATTEMPTS, ENDED, PENDING, SECONDS
from imagelane.notifier.spans import attempted
from imagelane.platform.tracing import Tracing

LOOK_SECONDS: Final = 30.0
"""The wall clock may be set meanwhile, so nobody sleeps for longer."""


class Posts(Protocol):
    """Who posts; `Poster` is one."""

    def host_of(self, url: str) -> str:
        """Whose lane the URL belongs to."""
        ...

    async def post(self, notice: NoticeRecorded) -> Attempt:
        """One attempt."""
        ...


class Log(Protocol):
    """Where records go; `NoticeLog` is one."""

    def send(self, notice: NoticeRecorded) -> asyncio.Future[None]:
        """Ends when Kafka has it."""
        ...


class Delivering:
    """Holds what is pending, and posts it when it is due. Belongs to the event loop.

    A process that dies between an attempt and its record makes the attempt once more, with the same
    `webhook-id`: that is why receivers tell by it what they know already.
    """

    def __init__(
        self,
        lanes: Lanes,
        schedule: Schedule,
        poster: Posts,
        log: Log,
        tracing: Tracing | None = None,
    ) -> None:
        self._lanes = lanes
        self._schedule = schedule
        self._poster = poster
        self._notices = log
        self._tracing = tracing
        self._awake = asyncio.Event()
        self._closing = False
        self._under_way: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("imagelane.notifier")

    def pending(self, key: bytes) -> NoticeRecorded | None:
        """What is pending under this key."""
        waiting = self._lanes.find(key)
        return None if waiting is None else waiting.notice

    async def put(self, notice: NoticeRecorded, partition: int) -> None:
        """It is posted when it is due. One too many of its customer is given up at once."""
        now = datetime.now(UTC)
        waiting = Waiting(
            key=notice_key(notice),
            notice=notice,
            partition=partition,
            host=self._poster.host_of(notice.notify_url or ""),
            due_at=(now if notice.next_at is UNSET else notice.next_at).timestamp(),
        )
        if self._lanes.put(waiting):
            self._awake.set()
        else:
            await self._write(ended(notice, "too_many", now, attempts=notice.attempts))
            ATTEMPTS.labels("too_many").inc()
        PENDING.set(len(self._lanes))

    def drop(self, key: bytes) -> None:
        """Somebody else has brought it to its end."""
        self._lanes.drop(key)
        PENDING.set(len(self._lanes))

    def drop_partition(self, partition: int) -> None:
        """What is pending there is another notifier's affair now; attempts under way are still recorded."""
        self._lanes.drop_partition(partition)
        PENDING.set(len(self._lanes))

    async def run(self) -> None:
        """Until it is cancelled. Raises the first error that is no receiver's."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = datetime.now(UTC).timestamp()
                for waiting in () if self._closing else self._lanes.start(now):
                    task = tasks.create_task(self._attempt(waiting))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                self._awake.clear()
                wait_seconds = min(self._lanes.seconds_until_due(now), LOOK_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_seconds):
                        await self._awake.wait()

    async def close(self, drain_seconds: float) -> None:
        """Begins no more attempts, and waits for those under way to be recorded, but not for longer."""
        self._closing = True
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=drain_seconds)

    async def _attempt(self, waiting: Waiting) -> None:
        time = asyncio.get_running_loop().time
        began_at = time()
        attempt = await self._poster.post(waiting.notice)
        seconds = time() - began_at
        SECONDS.observe(seconds)
        ATTEMPTS.labels(attempt.result).inc()
        luck = secrets.SystemRandom().random()
        after = self._schedule.after(waiting.notice, attempt, datetime.now(UTC), luck=luck)
        if self._tracing is not None:
            attempted(self._tracing, waiting.notice, attempt, after, seconds)
        if after.state != "pending" or not waiting.dropped:  # its new owner counts attempts now
            await self._write(after)
        self._lanes.end(waiting)
        if not waiting.dropped:
            self._lanes.drop(waiting.key)
            if after.state == "pending":
                await self.put(after, waiting.partition)
        PENDING.set(len(self._lanes))
        self._awake.set()

    async def _write(self, notice: NoticeRecorded) -> None:
        await self._notices.send(notice)
        if notice.state != "pending":
            ENDED.labels(notice.state).inc()
        say = self._log.warning if notice.state == "given_up" else self._log.info
        say(
            f"notice.{notice.state}",
            customer_id=notice.customer_id,
            job_id=notice.job_id,
            attempts=notice.attempts,
            result=notice.last_result or None,
        )
