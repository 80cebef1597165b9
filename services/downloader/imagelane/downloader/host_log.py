"""The topic `hosts`: how this downloader spares servers, for whoever asks why an image waits."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from msgspec import UNSET

from imagelane.contracts.codec import encode, headers_of
from imagelane.contracts.hosts import HostRecorded, host_key
from imagelane.contracts.topics import HOSTS
from imagelane.downloader.core.hosts import Sparing
from imagelane.downloader.core.schedule import HostSchedule
from imagelane.downloader.core.telling import HOLDS_SECONDS, Telling
from imagelane.platform.producer import DeliveryError, EventProducer

TELLING_SECONDS: Final = 2.0
PARTITION: Final = 0


class HostLog:
    """Tells what a schedule spares, as long as `run` runs. Nothing waits for it: a lost record only tells less."""

    def __init__(
        self, producer: EventProducer, schedule: HostSchedule[Any], *, source: str
    ) -> None:
        self._producer = producer
        self._schedule = schedule
        self._source = source
        self._worker = f"{socket.gethostname()[:200]}:{os.getpid()}"
        self._telling = Telling()
        self._log = structlog.get_logger("imagelane.hosts")

    async def run(self) -> None:
        """Until it is cancelled."""
        time = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(TELLING_SECONDS)
            now, at = time(), datetime.now(UTC)
            for server, sparing in self._telling.due(self._schedule.spared(now), now):
                self._send(host_recorded(server, sparing, self._worker, now=now, at=at))

    def _send(self, event: HostRecorded) -> None:
        try:
            delivery = self._producer.send_bytes(
                HOSTS,
                key=host_key(event),
                value=encode(event),
                headers=headers_of(event, source=self._source),
                partition=PARTITION,
            )
        except DeliveryError as error:
            self._log.warning("host.untold", error=str(error))
        else:
            delivery.add_done_callback(self._delivered)

    def _delivered(self, delivery: asyncio.Future[None]) -> None:
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            self._log.warning("host.untold", error=str(error))


def host_recorded(
    server: str, sparing: Sparing | None, worker: str, *, now: float, at: datetime
) -> HostRecorded:
    """The event. `now` and `at` are the same moment, by the schedule's clock and by the calendar."""
    holds_until = at + timedelta(seconds=HOLDS_SECONDS)
    if sparing is None:
        return HostRecorded(
            host=server,
            worker=worker,
            state="steady",
            holds_until=holds_until,
            occurred_at=at,
        )
    resumes_at: datetime | None = None
    if sparing.resumes_at is not None:
        resumes_at = at + timedelta(seconds=sparing.resumes_at - now)
    return HostRecorded(
        host=server,
        worker=worker,
        state=sparing.state,
        images_at_a_time=sparing.images_at_a_time,
        holds_until=holds_until,
        occurred_at=at,
        resumes_at=resumes_at or UNSET,
        trouble=sparing.trouble or UNSET,
        requests_per_second=sparing.requests_per_second or UNSET,
    )
