"""Reads every partition of every topic, from where the database says, and commits nothing to Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
)

from imagelane.contracts.codec import Headers
from imagelane.platform.groups import (
    CONSUMER_DEFAULTS,
    GUARANTEES,
    Property,
    admin_client,
    client_properties,
    passes,
)
from imagelane.platform.latest_records import end_offsets, start_offsets
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.troubles import Troubles
from imagelane.tracker.core.taking import DEAD_LETTER
from imagelane.tracker.inputs import INPUTS
from imagelane.tracker.ledger import Position

At = tuple[str, int]
Offsets = dict[At, int]
Ask = Callable[[], Mapping[At, Position]]
"""Asks the database how far each partition was read."""
POLL_SECONDS: Final = 0.1
POLL_RECORDS: Final = 1_000
ANSWER_SECONDS: Final = 15.0
UNHURRIED: Final[dict[str, Property]] = {"fetch.min.bytes": 65_536}
"""What comes is written twice a second, so no request need end with its first record: each names every
partition of every topic, and thirty of them a second were 10 to 20 % of the broker's work (docs/performance.md)."""


class Reader:
    """One consumer over everything. Belongs to one thread. Raises `KafkaException` when it cannot go on."""

    def __init__(
        self, settings: KafkaSettings, *, batch_records: int, batch_bytes: int, batch_seconds: float
    ) -> None:
        self._settings = settings
        self._batch_records = batch_records
        self._batch_bytes = batch_bytes
        self._batch_seconds = batch_seconds
        self._logical = {settings.topic(topic): topic for topic in INPUTS}
        self._log = structlog.get_logger("imagelane.reader")
        self._troubles = Troubles(self._log)
        self.positions: dict[At, Position] = {}
        """How far each partition was read. Changed ones are handed out by `moved`."""
        self._moved: set[At] = set()
        self._consumer = Consumer(
            {
                **self._properties(),
                "enable.partition.eof": True,  # tells how far the log goes beyond its last event
                "error_cb": self._troubles,
            }
        )
        self._admin = admin_client(settings)

    def start(self, ask: Ask) -> None:
        """Goes on from the positions that `ask` tells; partitions without one are read from the beginning."""
        every = self._offsets(start_offsets, INPUTS)
        self._consumer.assign(self._placed(every, ask()))

    def _placed(
        self, places: Iterable[At], positions: Mapping[At, Position]
    ) -> list[TopicPartition]:
        """Where reading of these partitions begins; from now on they are ours."""
        wanted = set(places)
        topics = {topic for topic, _partition in wanted}
        first, ends = self._offsets(start_offsets, topics), self._offsets(end_offsets, topics)
        assigned = []
        for at in wanted & ends.keys() & first.keys():
            known = positions.get(at)
            start = OFFSET_BEGINNING if known is None else known.next_offset
            if known is not None and not first[at] <= known.next_offset <= ends[at]:
                self._log.warning(
                    "records.missed", topic=at[0], partition=at[1], expected=start, first=first[at]
                )
                start = OFFSET_BEGINNING
            read_to = first[at] if start == OFFSET_BEGINNING else start
            self.positions[at] = Position(read_to, ends[at])
            assigned.append(TopicPartition(self._settings.topic(at[0]), at[1], start))
            self._moved.add(at)
        return assigned

    def _properties(self) -> dict[str, Property]:
        return {
            "client.id": "imagelane-tracker",
            **CONSUMER_DEFAULTS,
            **UNHURRIED,
            **client_properties(self._settings),
            **GUARANTEES,
            "group.id": self._settings.group("tracker"),  # never joined: partitions are assigned
        }

    def new_partitions(self) -> bool:
        """Whether a topic has got partitions that are not read yet."""
        try:
            present = self._admin.list_topics(timeout=ANSWER_SECONDS).topics
        except KafkaException as error:
            if not passes(error.args[0]):
                raise
            return False  # the broker is away; what is read goes on when it is back
        return any(
            (topic, number) not in self.positions
            for name, topic in self._logical.items()
            if name in present
            for number in present[name].partitions
        )

    def read(self) -> list[Record]:
        """The next batch: whatever comes within its time, bounded in number and bytes."""
        batch: list[Record] = []
        size = 0
        deadline = time.monotonic() + self._batch_seconds
        while len(batch) < self._batch_records and size < self._batch_bytes:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            room = min(POLL_RECORDS, self._batch_records - len(batch))
            for message in self._consumer.consume(room, min(left, POLL_SECONDS)):
                record = self._record_of(message)
                if record is not None:
                    batch.append(record)
                    size += len(record.value or b"")
        return batch

    def moved(self) -> dict[At, Position]:
        """The positions that have changed since this was asked last."""
        moved = {at: self._with_end(at) for at in self._moved}
        self._moved = set()
        return moved

    @property
    def behind(self) -> int:
        """How many records there are that were not read."""
        return sum(max(0, one.end_offset - one.next_offset) for one in self.positions.values())

    def close(self) -> None:
        """Ends the client."""
        self._consumer.close()

    def _record_of(self, message: Message) -> Record | None:
        error, partition, offset = message.error(), message.partition(), message.offset()
        topic = self._logical.get(message.topic() or "")
        if error is not None and error.name() != "_PARTITION_EOF":
            if not passes(error):
                raise KafkaException(error)
            self._troubles(error)
            return None
        if topic is None or partition is None or offset is None:
            return None
        if (topic, partition) not in self.positions:
            return None  # another replica has got it meanwhile
        self._advance((topic, partition), offset if error is not None else offset + 1)
        if error is not None:
            return None
        headers = message.headers() if topic.startswith(DEAD_LETTER) else None
        return Record(
            topic=topic,
            partition=partition,
            offset=offset,
            key=message.key(),
            value=message.value(),
            headers=cast(Headers, headers or []),
            timestamp_ms=message.timestamp()[1],
        )

    def _advance(self, at: At, next_offset: int) -> None:
        self.positions[at] = self.positions[at]._replace(next_offset=next_offset)
        self._moved.add(at)

    def _with_end(self, at: At) -> Position:
        place = TopicPartition(self._settings.topic(at[0]), at[1])
        _low, high = self._consumer.get_watermark_offsets(place, cached=True)
        position = self.positions[at]
        end = max(high, position.end_offset, position.next_offset)
        self.positions[at] = position._replace(end_offset=end)
        return self.positions[at]

    def _offsets(
        self,
        ask: Callable[[AdminClient, KafkaSettings, str], dict[int, int]],
        topics: Iterable[str],
    ) -> Offsets:
        return {
            (topic, partition): offset
            for topic in topics
            for partition, offset in ask(self._admin, self._settings, topic).items()
        }
