"""Handing records to Kafka, and answering only when it has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from imagelane.contracts.codec import Headers, encode
from imagelane.contracts.events import Event
from imagelane.contracts.topics import URLS
from imagelane.gateway.core.submission import Submission
from imagelane.gateway.problems import not_taken
from imagelane.gateway.spans import submitted
from imagelane.platform.producer import DeliveryError
from imagelane.platform.tracing import Tracing

SOURCE: Final = "/services/gateway"


class Producer(Protocol):
    """What is needed of Kafka; `EventProducer` is one."""

    def send(self, event: Event) -> asyncio.Future[None]:
        """See `EventProducer.send`."""
        ...

    def send_bytes(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers
    ) -> asyncio.Future[None]:
        """See `EventProducer.send_bytes`."""
        ...


class Deliveries:
    """Each method returns when Kafka has it, and raises `Problem` 503 when it does not take it in time.

    After a 503 the record may still arrive: sending it again must change nothing. `failed` ends when the
    producer is beyond repair: the process must be started anew.
    """

    def __init__(
        self, producer: Producer, kafka_seconds: float, tracing: Tracing | None = None
    ) -> None:
        self._producer = producer
        self._tracing = tracing
        self._kafka_seconds = kafka_seconds
        self._log = structlog.get_logger("imagelane.gateway")
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def command(self, event: Event) -> None:
        """A person's decision."""
        await self._deliver(lambda: self._producer.send(event))

    async def submission(self, submission: Submission, cause: Headers) -> None:
        """A list, or where it lies. `cause` has the submitter's own trace context, if there is one."""
        event = submission.event
        traceparent = submitted(self._tracing, submission, cause) if self._tracing else None
        await self._deliver(
            lambda: self._producer.send_bytes(
                URLS,
                key=event.customer_id.encode(),
                value=encode(event),
                headers=submission.headers(source=SOURCE, traceparent=traceparent),
            )
        )

    async def _deliver(self, send: Callable[[], asyncio.Future[None]]) -> None:
        try:
            sent = send()
        except DeliveryError as error:
            if not self.failed.done():
                self.failed.set_exception(error)
            raise not_taken() from error
        try:
            async with asyncio.timeout(self._kafka_seconds):
                await sent
        except (DeliveryError, TimeoutError) as error:
            self._log.warning("request.not_taken", reason=str(error) or "Kafka takes too long")
            raise not_taken() from error
