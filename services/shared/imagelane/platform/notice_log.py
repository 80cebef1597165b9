"""Writing the compacted topic `notices`, which intake begins and the notifier goes on with."""

from __future__ import annotations

import asyncio

from imagelane.contracts.codec import encode, headers_of
from imagelane.contracts.notices import NoticeRecorded, notice_key
from imagelane.contracts.topics import NOTICES
from imagelane.core.partitioning import partition_of
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings


class NoticeLog:
    """Sends records under their notice's key to their customer's partition."""

    def __init__(self, producer: EventProducer, settings: KafkaSettings, *, source: str) -> None:
        self._producer = producer
        self._partitions = settings.strict_partitions
        self._source = source

    def send(self, notice: NoticeRecorded) -> asyncio.Future[None]:
        """Ends when Kafka has the record, or with `DeliveryError`."""
        return self._producer.send_bytes(
            NOTICES,
            key=notice_key(notice),
            value=encode(notice),
            headers=headers_of(notice, source=self._source),
            partition=partition_of(notice.customer_id.encode(), self._partitions),
        )
