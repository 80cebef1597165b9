"""The one thread that owns a consumer group's client: reads ahead, commits, gives partitions up."""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from imagelane.core.health import Place
from imagelane.core.offsets import OffsetTracker, decode_progress
from imagelane.platform.committed import read_commits
from imagelane.platform.groups import consumer_properties, passes
from imagelane.platform.metrics_consumer import MemberCounts
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.tenures import Arrival, Backlog, Mark, Tenure, WorkLimits
from imagelane.platform.troubles import Troubles

POLL_SECONDS: Final = 0.1
BATCH_RECORDS: Final = 500
TRICKLE_SECONDS: Final = 0.04
OVERFULL: Final = 1.1
REFILL: Final = 0.9
COMMIT_SECONDS: Final = 1.0
COMMIT_ANSWER_SECONDS: Final = 30.0
DRAIN_SECONDS: Final = 0.5
DRAIN_STEP_SECONDS: Final = 0.01
LEAVE_SECONDS: Final = 6.0  # a clean leave takes one; only a broker that is away takes longer


class GroupMember:
    """Reads for one group until it is stopped or fails.

    `deliver` and `fail` are called in the owner thread; `marks` takes what was done and noted.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        service: str,
        topics: Sequence[str],
        limits: WorkLimits,
        deliver: Callable[[list[Arrival]], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.marks: deque[Mark] = deque()
        self.backlog = Backlog()
        self._settings = settings
        self._logical = {settings.topic(topic): topic for topic in topics}
        self._limits = limits
        self._deliver = deliver
        self._fail = fail
        self._tenures: dict[tuple[str | None, int | None], Tenure] = {}
        self._paused = False
        self._commit_at = 0.0
        self._closing = threading.Event()
        self._log = structlog.get_logger("imagelane.consumer")
        self._trouble = Troubles(self._log)
        self.turned_at = time.monotonic()
        self.positions: dict[Place, int | None] = {}
        """The partitions that it has, each with the offset after the newest record received.

        As of a second ago, and replaced as a whole: for every thread.
        """
        self.tenures: dict[Place, Tenure] = {}
        """The same partitions, each with the tenure of its present assignment. Replaced as a whole, too."""
        self._counts = MemberCounts(service)
        self._consumer = Consumer(
            {
                **consumer_properties(settings, service),
                "error_cb": self._trouble,
                "on_commit": self._on_commit,
            }
        )
        context = contextvars.copy_context()  # it names the service in the logs
        self._thread = threading.Thread(
            target=context.run, args=(self._main,), name="kafka-consumer", daemon=True
        )

    def start(self) -> None:
        """Starts the thread; it joins the group."""
        self._thread.start()

    def stop(self) -> None:
        """Blocks while the thread drains, commits and leaves the group: 6 seconds at most."""
        self._closing.set()
        self._thread.join(LEAVE_SECONDS)
        if self._thread.is_alive():
            self._log.warning("group.not_left", waited_seconds=LEAVE_SECONDS)

    def _main(self) -> None:
        try:
            self._read_until_closing()
            self._give_up(list(self._tenures.values()))
        except BaseException as error:  # noqa: BLE001 # outermost shell: no thread ends unnoticed
            self._fail(error)
        # Nothing is left to give up, so the callbacks inside `close` return at once.
        self._closing.set()
        self._drop(list(self._tenures.values()))
        self._consumer.close()

    def _read_until_closing(self) -> None:
        self._consumer.subscribe(
            list(self._logical),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        while not self._closing.is_set():
            self._read()
            self._apply_marks()
            self.turned_at = time.monotonic()
            if self.turned_at >= self._commit_at:
                self._commit()

    # Reading ahead

    def _read(self) -> None:
        room = self._room()
        if room > 0:
            first = self._consumer.poll(POLL_SECONDS)
            if first is not None:
                more = min(room, BATCH_RECORDS) - 1
                self._admit([first, *(self._consumer.consume(more, 0) if more else ())])
            return
        # A trickle instead of a pause, which would throw away what the client has fetched. It keeps
        # rebalances going.
        self._closing.wait(TRICKLE_SECONDS)
        one = self._consumer.poll(0)
        if one is not None:
            self._admit([one])

    def _room(self) -> int:
        """How many records may be read now. Where even the trickle is too much, it pauses."""
        filled = self._filled()
        if not self._paused and filled > OVERFULL:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        elif self._paused and filled < REFILL:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
        return self._limits.max_records - self.backlog.records if filled < 1 else 0

    def _filled(self) -> float:
        span = max((tenure.tracker.span for tenure in self._tenures.values()), default=0)
        return max(
            self.backlog.records / self._limits.max_records,
            self.backlog.bytes / self._limits.max_bytes,
            span / self._limits.max_span,
        )

    def _admit(self, messages: Iterable[Message]) -> None:
        batch: list[Arrival] = []
        skipped = 0
        for message in messages:
            error = message.error()
            if error is not None:
                if not passes(error):
                    raise KafkaException(error)
                self._trouble(error)
                continue
            tenure = self._tenures.get((message.topic(), message.partition()))
            offset = message.offset()
            if tenure is None or offset is None:
                continue
            if tenure.tracker.receive(offset):
                self.backlog.add(message)
                batch.append((tenure, offset, message, tenure.tracker.note_of(offset)))
            else:
                skipped += 1
        self._counts.received(len(batch), skipped)
        if batch:
            self._deliver(batch)

    # Finishing and committing

    def _apply_marks(self) -> None:
        done = in_vain = 0
        while self.marks:
            tenure, offset, note = self.marks.popleft()
            if tenure.revoked:
                in_vain += note is None
            elif note is None:
                tenure.tracker.finish(offset)
                done += 1
            else:
                tenure.tracker.note(offset, note)
        self._counts.finished(done, in_vain)

    def _commit(self) -> None:
        self._tell_positions()
        self._commit_at = time.monotonic() + COMMIT_SECONDS
        offsets = self._uncommitted(self._tenures.values())
        if offsets:
            self._commit_at = time.monotonic() + COMMIT_ANSWER_SECONDS
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _uncommitted(self, tenures: Iterable[Tenure]) -> list[TopicPartition]:
        offsets = []
        for tenure in tenures:
            at, metadata = tenure.tracker.committable, tenure.tracker.metadata()
            if at is not None and (at, metadata) != tenure.committed:
                name = self._settings.topic(tenure.topic)
                offsets.append(TopicPartition(name, tenure.partition, at, metadata))
        return offsets

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Whatever was not confirmed is still uncommitted, and so tried again a second later."""
        self._commit_at = time.monotonic() + COMMIT_SECONDS
        for partition in partitions:
            tenure = self._tenures.get((partition.topic, partition.partition))
            if error is None and partition.error is None and tenure is not None:
                tenure.committed = (partition.offset, partition.metadata or "")
        self._counts.committed(ok=error is None)
        if error is not None:
            self._log.warning("commit.failed", error=error.str())

    # Partitions coming and going

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._closing.is_set() or not partitions:
            return
        starts = []
        for found in read_commits(consumer, partitions, self._closing):
            start = found.offset if found.offset >= 0 else None
            progress = decode_progress(found.offset, found.metadata)
            tenure = Tenure(
                self._logical[found.topic], found.partition, OffsetTracker(start, progress)
            )
            self._tenures[found.topic, found.partition] = tenure
            starts.append(TopicPartition(found.topic, found.partition, found.offset))
        consumer.incremental_assign(starts)
        if self._paused:
            consumer.pause(starts)
        self._moved("assigned", partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up(self._tenures_of(partitions))
        if self._paused:
            consumer.resume(partitions)  # or they would come back paused
        consumer.incremental_unassign(partitions)
        self._moved("revoked", partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop(self._tenures_of(partitions))
        self._moved("lost", partitions)

    def _tenures_of(self, partitions: Iterable[TopicPartition]) -> list[Tenure]:
        named = ((partition.topic, partition.partition) for partition in partitions)
        return [self._tenures[name] for name in named if name in self._tenures]

    def _give_up(self, tenures: Sequence[Tenure]) -> None:
        """Lets work in progress end for half a second, commits and drops the partitions.

        A longer wait would stall every member; what does not end in time is done again elsewhere.
        """
        for tenure in tenures:
            tenure.leaving = True
        deadline = time.monotonic() + DRAIN_SECONDS
        while any(tenure.in_work for tenure in tenures) and time.monotonic() < deadline:
            time.sleep(DRAIN_STEP_SECONDS)
        self._apply_marks()
        offsets = self._uncommitted(tenures)
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                self._log.warning("commit.failed", error=error.args[0].str())
        self._drop(tenures)

    def _drop(self, tenures: Iterable[Tenure]) -> None:
        for tenure in tenures:
            tenure.leaving = tenure.revoked = True
            del self._tenures[self._settings.topic(tenure.topic), tenure.partition]

    def _moved(self, how: str, partitions: list[TopicPartition]) -> None:
        names = [f"{one.topic}[{one.partition}]" for one in partitions]
        say = self._log.warning if how == "lost" else self._log.info
        say(f"partitions.{how}", partitions=names)
        self._counts.moved(how, len(partitions))
        self._tell_positions()

    def _tell_positions(self) -> None:
        self.tenures = {(one.topic, one.partition): one for one in self._tenures.values()}
        self.positions = {
            (one.topic, one.partition): one.tracker.position for one in self._tenures.values()
        }
