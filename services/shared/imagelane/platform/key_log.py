"""The compacted topic `keys`: read whole, and followed. It is small, and the only place where keys are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from imagelane.contracts.codec import UnreadableRecordError, decode
from imagelane.contracts.keys import KeyRecorded
from imagelane.contracts.topics import KEYS
from imagelane.core.api_keys import KeyRing
from imagelane.platform.groups import KafkaStartError, client_properties
from imagelane.platform.latest_records import read_records
from imagelane.platform.settings import KafkaSettings

POLL_SECONDS: Final = 0.2
PARTITION: Final = 0

Change = Callable[[KeyRing], None]


class KeyLog:
    """Follows `keys` in a thread of its own, and folds it into `ring` on the event loop.

    `complete` once the topic has been read to its end; before that nobody can be told from a stranger.
    `failed` ends when the client is beyond repair.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.ring = KeyRing()
        self.complete = False
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._consumer = _consumer(settings)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="key-log", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    def _follow(self) -> None:
        try:
            while not self._closing.is_set():
                message = self._consumer.poll(POLL_SECONDS)
                if message is not None and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(self._take, message)
        finally:
            self._consumer.close()

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            _change_of(message)(self.ring)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes are named so
            self.complete = True
        elif error.fatal() and not self.failed.done():
            self.failed.set_exception(KafkaStartError(error.str()))


def read_keys(settings: KafkaSettings) -> KeyRing:
    """Every key there is now. Raises as `read_records` does."""
    ring = KeyRing()
    for message in read_records(settings, KEYS):
        _change_of(message)(ring)
    return ring


def _change_of(message: Message) -> Change:
    key_id = (message.key() or b"").decode("utf-8", "replace")
    value = message.value()
    if value is None:
        return lambda ring: ring.forget(key_id)
    try:
        key = _decoded(value, key_id)
    except UnreadableRecordError as error:
        # Nobody may become somebody by writing what we do not understand.
        structlog.get_logger("imagelane.keys").error(
            "key.unreadable", key_id=key_id, offset=message.offset(), reason=str(error)
        )
        return lambda ring: ring.forget(key_id)
    return lambda ring: ring.fold(key)


def _decoded(value: bytes, key_id: str) -> KeyRecorded:
    key: KeyRecorded = decode(KEYS, value)
    if key.key_id != key_id:
        raise UnreadableRecordError(f"key_id: {key.key_id!r} under the key {key_id!r}")
    return key


def _consumer(settings: KafkaSettings) -> Consumer:
    consumer = Consumer(
        {
            **client_properties(settings),
            "group.id": settings.group("keys"),  # the client wants one; nothing is ever committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "topic.metadata.refresh.interval.ms": 5_000,
        }
    )
    consumer.assign([TopicPartition(settings.topic(KEYS), PARTITION, OFFSET_BEGINNING)])
    return consumer
