"""Producing events with delivery reports as asyncio futures, on confluent-kafka."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from imagelane.contracts.codec import Headers, encode, headers_of, key_of
from imagelane.contracts.events import Event
from imagelane.contracts.topics import SPREAD, TOPIC_OF
from imagelane.core.partitioning import partition_of
from imagelane.platform.groups import client_properties
from imagelane.platform.metrics_producer import DELIVERED, FAILED, UNDER_WAY
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.tracing import Done, Tracing, told
from imagelane.platform.troubles import Troubles

PRODUCER_DEFAULTS: Final[dict[str, str | int | bool]] = {
    "partitioner": "murmur2_random",  # librdkafka's default lands elsewhere than Faust's and Java's
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "compression.type": "zstd",
    "delivery.timeout.ms": 120_000,
    "allow.auto.create.topics": False,
    "message.max.bytes": 100_000_000,  # the topic decides: a dead letter is whatever was once taken
    "topic.metadata.refresh.interval.ms": 5_000,
}
BY_IMAGE: Final[dict[str, str | int]] = {"linger.ms": 50}
"""Overrides for a producer of an event per image: nobody waits for a single one, and each request that
they share spares the broker and the next service as much CPU as several images (measured: 12 % of all)."""
POLL_SECONDS: Final = 0.1


class DeliveryError(Exception):
    """Kafka did not take a record. The record's work must not count as done: leave the process."""


class EventProducer:
    """Sends events; each send's future ends when Kafka has the record, or with `DeliveryError`.

    Belongs to the running event loop. A fatal client error ends every open future.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        source: str,
        overrides: dict[str, str | int] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._tracing = tracing
        self._loop = asyncio.get_running_loop()
        self._troubles = Troubles(structlog.get_logger("imagelane.producer"))
        self._open: set[asyncio.Future[None]] = set()
        self._reports: list[tuple[asyncio.Future[None], KafkaError | None]] = []
        self._producer = Producer(
            {
                **PRODUCER_DEFAULTS,
                **client_properties(settings),
                "error_cb": self._on_error,
                **(overrides or {}),
            }
        )
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._poller.start()

    def send(
        self, event: Event, *, partition: int | None = None, done: Done | None = None
    ) -> asyncio.Future[None]:
        """Sends the event to its topic under its customer's key; `done` becomes a span.

        On a strict topic it goes to the partition that follows from the settings, whatever the
        topic has become: the customer must never be in two places.
        """
        topic, key = TOPIC_OF[type(event)], key_of(event)
        traceparent = told(self._tracing, event, done) if self._tracing and done else None
        if partition is None and topic not in SPREAD:
            partition = partition_of(key, self._settings.strict_partitions)
        return self.send_bytes(
            topic,
            key=key,
            value=encode(event),
            headers=headers_of(event, source=self._source, traceparent=traceparent),
            partition=partition,
        )

    def send_bytes(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> asyncio.Future[None]:
        """Sends bytes to a topic (named without prefix). An explicit partition keeps the key."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._open.add(future)

        def report(error: KafkaError | None, _message: Message) -> None:
            self._reports.append((future, error))

        while True:
            try:
                self._producer.produce(
                    self._settings.topic(topic),
                    key=key,
                    value=value,
                    headers=headers,  # type: ignore[arg-type] # the stubs want str | bytes | None values
                    partition=-1 if partition is None else partition,
                    on_delivery=report,
                )
            except BufferError:
                self._producer.poll(POLL_SECONDS)
            except KafkaException as error:
                self._open.discard(future)
                raise DeliveryError(str(error)) from error
            else:
                return future

    async def can_reach(self, topic: str, timeout_seconds: float) -> bool:
        """Whether the broker answers in time and has the topic (named without prefix)."""
        name = self._settings.topic(topic)
        try:
            metadata = await asyncio.to_thread(self._producer.list_topics, name, timeout_seconds)
        except KafkaException:
            return False
        return metadata.topics[name].error is None

    async def flush(self) -> None:
        """Waits until everything sent so far is delivered. Raises the first `DeliveryError`."""
        if self._open:
            await asyncio.gather(*self._open)

    async def close(self, timeout_seconds: float = 10.0) -> None:
        """Delivers what it can within the time-out, then stops the thread."""
        await asyncio.to_thread(self._producer.flush, timeout_seconds)
        self._closing.set()
        await asyncio.to_thread(self._poller.join)
        self._settle()

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(POLL_SECONDS)
            if self._reports and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        reports, self._reports = self._reports, []
        failed = sum(error is not None for _, error in reports)
        DELIVERED.inc(len(reports) - failed)
        FAILED.inc(failed)
        for future, error in reports:
            self._open.discard(future)
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(DeliveryError(error.str()))
        UNDER_WAY.set(len(self._open))

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._loop.call_soon_threadsafe(self._fail_all, DeliveryError(error.str()))
        else:
            self._troubles(error)

    def _fail_all(self, error: DeliveryError) -> None:
        for future in self._open:
            if not future.done():
                future.set_exception(error)
        self._open.clear()
