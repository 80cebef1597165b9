"""The dispatcher's membership in its consumer group: which partitions are ours, and their input.

All methods belong to the one Kafka thread. Partitions come and go only inside `poll` and `leave`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sized
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, cast

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from imagelane.contracts.codec import Headers
from imagelane.contracts.topics import BATCHES, CALLBACKS, COMMANDS
from imagelane.dispatcher.metrics import ALL_HELD
from imagelane.dispatcher.ownership import Ownership, boot_seconds
from imagelane.platform.groups import consumer_properties, passes
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.troubles import Troubles

SERVICE: Final = "dispatcher"
INPUTS: Final = (BATCHES, CALLBACKS, COMMANDS)
RECORDS_PER_POLL: Final = 20
"""Few: each may ask for a plan of 100,000 images, and a turn must stay far below a session."""
SLICE_SECONDS: Final = 0.01
COMMITTED_SECONDS: Final = 60.0
"""An offset may be pending in a former owner's transaction: it is then waited for, on purpose."""
STARTS_TRIES: Final = 5
STARTS_AGAIN_SECONDS: Final = 0.5
METADATA_SECONDS: Final = 5.0
OUT_OF_RANGE: Final = "_AUTO_OFFSET_RESET"

Place = tuple[str, int]
Leaving = Callable[[frozenset[int]], None]


@dataclass(frozen=True, slots=True)
class Polled:
    """Records of partitions that are ours, and the membership under which they were read."""

    records: list[Record]
    group_metadata: bytes


class Membership:
    """Reads the inputs. `leaving` is called before partitions are handed over: work on them must end.

    `doubt` says why nothing may be sent for any lane, or is empty.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        ownership: Ownership,
        *,
        doubt: Callable[[], str],
        leaving: Leaving,
        meanwhile: Sized = (),
    ) -> None:
        """Where something happens `meanwhile`, nothing waits for input any longer."""
        self._settings = settings
        self._ownership = ownership
        self._doubt = doubt
        self._leaving = leaving
        self._meanwhile = meanwhile
        self._logical = {settings.topic(topic): topic for topic in INPUTS}
        self._next: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._term = 0
        self._gap = ""
        self._closing = False
        self._log = structlog.get_logger("imagelane.membership")
        self._trouble = Troubles(self._log)
        self._eager = settings.group_protocol == "classic"
        # Only `range` gives equal partitions of several topics to one member.
        assignor = "partition.assignment.strategy" if self._eager else "group.remote.assignor"
        self._consumer = Consumer(
            {
                **consumer_properties(settings, SERVICE),
                assignor: "range",
                "auto.offset.reset": "error",  # a gap in the input is for a person to look at
                "fetch.message.max.bytes": 1_048_576,
                "queued.min.messages": 100,
                "error_cb": self._trouble,
            }
        )

    def join(self) -> None:
        """Becomes a member with the next polls."""
        self._consumer.subscribe(
            list(self._logical),
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )

    def leave(self) -> None:
        """Gives everything up, at once."""
        self._closing = True
        self._ownership.terms = {}
        self._consumer.close()

    @property
    def positions(self) -> dict[Place, int | None]:
        """The partitions of the inputs that are ours, each with the next offset. For every thread."""
        return dict(self._next)

    def poll(self, wait_seconds: float) -> Polled:
        """What has come, after waiting at most so long. Raises `KafkaException` when it cannot go on."""
        self._hold(self._gap or self._doubt())
        received = self._received(wait_seconds)
        self._ownership.polled_at = boot_seconds()
        records = [record for record, term in received if self._term_of(record) == term]
        return Polled(records, self._consumer.consumer_group_metadata())

    def read_only(self, partitions: AbstractSet[int]) -> None:
        """Lets input come from these partitions, and from no others."""
        wanted = set() if self._ownership.hold_reason else partitions
        to_resume = [place for place in self._paused if place[1] in wanted]
        to_pause = [
            place for place in self._next if place[1] not in wanted and place not in self._paused
        ]
        if to_resume:
            self._consumer.resume(self._partitions(to_resume))
        if to_pause:
            self._consumer.pause(self._partitions(to_pause))
        self._paused = (self._paused - set(to_resume)) | set(to_pause)

    def offsets_after(
        self, records: Iterable[Record], partitions: Iterable[int]
    ) -> list[TopicPartition]:
        """The offsets that a transaction commits: past these records, unchanged for other partitions."""
        after = {place: at for place, at in self._next.items() if place[1] in set(partitions)}
        for record in records:
            place = record.topic, record.partition
            after[place] = max(after[place], record.offset + 1)
        return [
            TopicPartition(self._settings.topic(topic), partition, offset)
            for (topic, partition), offset in after.items()
        ]

    def advance(self, offsets: Iterable[TopicPartition]) -> None:
        """The transaction with these offsets is durable."""
        for one in offsets:
            self._next[self._place(one)] = one.offset

    def step_back(self, records: Iterable[Record]) -> None:
        """These records were not dealt with: they are read again, if the partition is still ours."""
        for place in {(record.topic, record.partition) for record in records}:
            if place in self._next:
                self._consumer.seek(*self._partitions([place]))

    def _received(self, wait_seconds: float) -> list[tuple[Record, int | None]]:
        first = self._first(wait_seconds)
        if first is None:
            return []
        received = self._readable([first])
        return received + self._readable(self._consumer.consume(RECORDS_PER_POLL - 1, 0))

    def _first(self, wait_seconds: float) -> Message | None:
        """In slices, since a client that waits cannot be woken up."""
        while wait_seconds > SLICE_SECONDS and not self._meanwhile:
            first = self._consumer.poll(SLICE_SECONDS)
            if first is not None:
                return first
            wait_seconds -= SLICE_SECONDS
        return self._consumer.poll(0.0 if self._meanwhile else wait_seconds)

    def _readable(self, messages: Iterable[Message]) -> list[tuple[Record, int | None]]:
        readable = []
        for message in messages:
            error = message.error()
            if error is None:
                record = self._record(message)
                readable.append((record, self._term_of(record)))
            elif error.name() == OUT_OF_RANGE:
                self._gap = f"records of an input are missing: {error.str()}"
                self._hold(self._gap)
            elif passes(error):
                self._trouble(error)
            else:
                raise KafkaException(error)
        return [(record, term) for record, term in readable if term is not None]

    def _record(self, message: Message) -> Record:
        return Record(
            topic=self._logical[str(message.topic())],
            partition=cast(int, message.partition()),
            offset=cast(int, message.offset()),
            key=message.key(),
            value=message.value(),
            headers=cast(Headers, message.headers() or []),
            timestamp_ms=message.timestamp()[1],
        )

    def _term_of(self, record: Record) -> int | None:
        return self._ownership.terms.get(record.partition)

    # Partitions coming and going

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._closing:
            return
        starts = self._starts(partitions)
        if self._eager:
            consumer.assign(starts)
        else:
            consumer.incremental_assign(starts)
        consumer.pause(starts)  # until the log is restored
        for start in starts:
            self._next[self._place(start)] = start.offset
            self._paused.add(self._place(start))
        self._term += 1
        arrived = {one.partition: self._term for one in starts if self._is_batches(one)}
        self._ownership.terms = {**self._ownership.terms, **arrived}
        if arrived:
            self._log.info("partitions.assigned", partitions=sorted(arrived))

    def _starts(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Where to read on. What nothing was ever committed for is read from its beginning."""
        for tries_left in reversed(range(STARTS_TRIES)):
            try:
                return [self._start(one) for one in self._committed(partitions)]
            except KafkaException as error:
                if not tries_left:
                    raise
                self._trouble(error.args[0])
                time.sleep(STARTS_AGAIN_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        committed = self._consumer.committed(partitions, timeout=COMMITTED_SECONDS)
        for one in committed:
            if one.error is not None:
                raise KafkaException(one.error)
        return committed

    def _start(self, committed: TopicPartition) -> TopicPartition:
        offset = committed.offset
        if offset < 0:
            marks = self._consumer.get_watermark_offsets(committed, timeout=METADATA_SECONDS)
            offset = marks[0]
        return TopicPartition(committed.topic, committed.partition, offset)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget(partitions)
        if self._eager:
            consumer.unassign()
        else:
            consumer.incremental_unassign(partitions)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        left = frozenset(one.partition for one in partitions if self._is_batches(one))
        terms = self._ownership.terms
        self._ownership.terms = {at: term for at, term in terms.items() if at not in left}
        for one in partitions:
            self._next.pop(self._place(one), None)
            self._paused.discard(self._place(one))
        if left and not self._closing:
            self._leaving(left)
            self._log.info("partitions.left", partitions=sorted(left))

    def _is_batches(self, partition: TopicPartition) -> bool:
        return self._logical[partition.topic] == BATCHES

    def _place(self, partition: TopicPartition) -> Place:
        return self._logical[partition.topic], partition.partition

    def _partitions(self, places: Iterable[Place]) -> list[TopicPartition]:
        return [
            TopicPartition(self._settings.topic(topic), partition, self._next[topic, partition])
            for topic, partition in places
        ]

    def _hold(self, reason: str) -> None:
        if reason == self._ownership.hold_reason:
            return
        self._ownership.hold_reason = reason
        ALL_HELD.set(bool(reason))
        if reason:
            self._log.error("lanes.held", reason=reason)
        else:
            self._log.info("lanes.released")
