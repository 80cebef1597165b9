"""Outcomes on their way to Kafka. A request is done when its outcome, or its dead letter, has arrived."""

from __future__ import annotations

import asyncio
from functools import partial

from msgspec import UNSET

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.events import ImageDownloaded
from imagelane.core.partitioning import spread_partition
from imagelane.downloader.spans import DOWNLOAD
from imagelane.platform.dead_letters import send_dead_letter
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.tracing import Done
from imagelane.platform.work import WorkConsumer, WorkItem


class Deliveries:
    """Sends outcomes and marks their requests done, without a task for each.

    `failed` ends with the `DeliveryError` of the first one that Kafka did not take; its request stays
    undone, and the process has to leave.
    """

    def __init__(
        self, consumer: WorkConsumer, producer: EventProducer, kafka: KafkaSettings, *, service: str
    ) -> None:
        self._consumer = consumer
        self._producer = producer
        self._kafka = kafka
        self._group = kafka.group(service)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way = 0

    def tell(self, item: WorkItem, event: ImageDownloaded) -> None:
        """Sends an image's outcome, on one of its customer's partitions."""
        partition = spread_partition(
            event.customer_id,
            event.index,
            partitions=self._kafka.spread_partitions,
            spread=self._kafka.spread,
        )
        code = "" if event.failure is UNSET else event.failure.code
        done = Done(DOWNLOAD, item.record.headers, event.seconds, code)
        self._follow(item, self._producer.send(event, partition=partition, done=done))

    def bury(self, item: WorkItem, error: UnreadableRecordError) -> None:
        """Sends the request to its dead-letter topic."""
        self._follow(item, send_dead_letter(self._producer, item.record, error, group=self._group))
        self._consumer.unreadable()

    def _follow(self, item: WorkItem, delivery: asyncio.Future[None]) -> None:
        self.under_way += 1
        delivery.add_done_callback(partial(self._arrived, item))

    def _arrived(self, item: WorkItem, delivery: asyncio.Future[None]) -> None:
        self.under_way -= 1
        if delivery.cancelled():
            return
        error = delivery.exception()
        if error is None:
            self._consumer.done(item)
        elif not self.failed.done():
            self.failed.set_exception(error)
