"""Events in: checked, folded, and followed by what they lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import cast

from faust import Stream, Table
from faust.types import EventT, Message, StreamT

from imagelane.batcher import metrics
from imagelane.batcher.clock import now
from imagelane.batcher.core.decisions import Write
from imagelane.batcher.core.lanes import LaneEvent
from imagelane.batcher.core.order import Place, Verdict
from imagelane.batcher.core.records import TableFound, encode, table_key
from imagelane.batcher.heartbeat import Heartbeat
from imagelane.batcher.leaving import Exit, leave
from imagelane.batcher.outbox import Batch, Outbox, Outgoing
from imagelane.batcher.ownership import Ownership
from imagelane.batcher.settings import Settings
from imagelane.batcher.spans import ImageWaits
from imagelane.contracts import codec
from imagelane.contracts.codec import Headers, UnreadableRecordError
from imagelane.contracts.events import Event, ImagesMissing
from imagelane.contracts.image_sets import UnreadableImageSetError
from imagelane.contracts.topics import TOPIC_OF, dead_letter_topic
from imagelane.core.partitioning import partition_of
from imagelane.core.poison import PoisonFloodError, PoisonGauge
from imagelane.platform.dead_letters import dead_letter_headers
from imagelane.platform.metrics_dead_letters import DEAD_LETTERS
from imagelane.platform.records import Record

SOURCE = "/services/batcher"
BURST_SECONDS = 0.005
"""Records come in bursts; what follows from one is worth one batch."""


class Inlet:
    """Folds events one by one, and lets what follows from them go in batches.

    Every event is folded without a pause between reading and writing, so lanes need no locks.
    """

    def __init__(
        self,
        settings: Settings,
        table: Table[bytes, bytes],
        heartbeat: Heartbeat,
        ownership: Ownership,
        outbox: Outbox,
        *,
        inputs: dict[str, str],
        waits: ImageWaits | None = None,
    ) -> None:
        self._settings = settings
        self._waits = waits
        self._table = table
        self._heartbeat = heartbeat
        self._ownership = ownership
        self._outbox = outbox
        self._inputs = inputs
        self._partitions = settings.kafka.strict_partitions
        self._group = settings.kafka.group("batcher")
        self._taken = 0
        self._poison = PoisonGauge(
            settings.kafka.unreadable_ratio, settings.kafka.unreadable_records
        )
        self._batch = Batch()
        self._timer: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0

    async def consume(self, stream: StreamT[bytes]) -> None:
        """Takes every event of the inputs, while the gate is open."""
        async for event in cast(Stream[bytes], stream).noack().events():
            await self._ownership.passage()
            if event.message.generation_id == self._ownership.generation:
                self.take(event)

    def take(self, event: EventT[bytes]) -> None:
        """Folds the event if it is the next one of its partition."""
        self._heartbeat.beat()
        message = event.message
        place = Place(message.topic, message.partition)
        match self._ownership.guard.judge(place, message.offset, now().seconds):
            case Verdict.NEXT:
                self._fold(event)
            case Verdict.REPEAT:
                metrics.REPEATED.inc()
            case Verdict.AHEAD:
                metrics.AHEAD.inc()
            case Verdict.FOREIGN:
                leave(
                    Exit.FOREIGN_RECORDS,
                    "the topic has gone back to where reading had not begun",
                    topic=message.topic,
                    partition=message.partition,
                    offset=message.offset,
                )
        if len(self._batch.events) >= self._settings.batcher.flush_events:
            self.flush()

    def begin(self, new_partitions: list[int]) -> None:
        """The gate has opened: what was under way is sent again."""
        for partition in new_partitions:
            found = encode(TableFound(since=now().at))
            self._batch.writes.append(self._write(partition, Write(table_key(partition), found)))
        self.flush()

    def drop(self) -> None:
        """The gate has shut: what was folded and not handed on yet is read again by the next owner."""
        self._batch = Batch()
        if self._waits is not None:
            self._waits.clear()

    def schedule(self) -> None:
        """Sees to it that `flush` comes soon: almost at once after a rest."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            wait = self._flushed_at + self._settings.batcher.flush_every_seconds - loop.time()
            self._timer = loop.call_later(max(wait, BURST_SECONDS), self.flush)

    def flush(self) -> None:
        """Decides, and hands everything to the outbox."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flushed_at = asyncio.get_running_loop().time()
        if not self._ownership.is_open:
            return
        self._heartbeat.beat()
        batch, self._batch = self._batch, Batch()
        for partition, lanes in self._ownership.lanes.items():
            if lanes.has_work:
                decisions = lanes.decide(now())
                batch.decided.append((lanes, decisions))
                batch.writes.extend(self._write(partition, write) for write in decisions.writes)
                batch.sends.extend(self._event(event, partition) for event in decisions.events)
        if batch.events or batch.decided:
            self._outbox.add(batch)

    def tick(self) -> None:
        """Sends an alarm for every lane whose time has come."""
        if not self._ownership.is_open:
            return
        for partition, lanes in self._ownership.lanes.items():
            if ticks := [self._event(tick, partition) for tick in lanes.ticks(now())]:
                self._outbox.add(Batch(sends=ticks))

    def _fold(self, event: EventT[bytes]) -> None:
        message = event.message
        topic = self._inputs[message.topic]
        self._batch.events.append(event)
        self._taken += 1
        self.schedule()
        try:
            lane_event = self._read(topic, message)
            self._ownership.lanes[message.partition].fold(lane_event, now())
            if self._waits is not None:
                self._waits.fold(lane_event, _headers_of(message))
        except (UnreadableRecordError, UnreadableImageSetError) as error:
            metrics.UNREADABLE.inc()
            DEAD_LETTERS.labels(topic).inc()
            self._batch.sends.append(self._dead_letter(topic, message, error))
            self._stop_in_a_flood()
        else:
            metrics.FOLDED.inc()

    def _stop_in_a_flood(self) -> None:
        try:
            self._poison.unreadable(asyncio.get_running_loop().time(), self._taken)
        except PoisonFloodError as flood:
            leave(Exit.POISON_FLOOD, str(flood))

    def _read(self, topic: str, message: Message) -> LaneEvent:
        event: LaneEvent = codec.decode(topic, message.value)
        if message.key != codec.key_of(event):
            raise UnreadableRecordError("the key is not the customer ID")
        if partition_of(message.key, self._partitions) != message.partition:
            raise UnreadableRecordError("this is not the key's partition: another partitioner's")
        return event

    def _write(self, partition: int, write: Write) -> Awaitable[object]:
        metrics.TABLE_WRITES.inc()
        metrics.TABLE_BYTES.inc(len(write.key) + len(write.value or b""))
        return self._table.send_changelog(
            partition, write.key, write.value, key_serializer="raw", value_serializer="raw"
        )

    def _event(self, event: Event, partition: int) -> Outgoing:
        metrics.SENT.labels(str(event.__struct_config__.tag)).inc()
        if isinstance(event, ImagesMissing):
            metrics.IMAGES_MISSING.inc(event.images.count)
        traceparent = None if self._waits is None else self._waits.send(event)
        return Outgoing(
            self._settings.kafka.topic(TOPIC_OF[type(event)]),
            codec.key_of(event),
            codec.encode(event),
            codec.headers_of(event, source=SOURCE, traceparent=traceparent),
            partition,
        )

    def _dead_letter(self, topic: str, message: Message, error: Exception) -> Outgoing:
        record = Record(
            topic=topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=_headers_of(message),
            timestamp_ms=int(message.timestamp * 1000),
        )
        return Outgoing(
            self._settings.kafka.topic(dead_letter_topic(topic)),
            record.key,
            record.value,
            dead_letter_headers(record, error, group=self._group),
        )


def _headers_of(message: Message) -> Headers:
    headers = message.headers or []
    return list(headers.items() if isinstance(headers, Mapping) else headers)
