"""The one loop of the Kafka thread: input and answers in, decisions made durable, what follows from them out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import structlog

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.image_sets import UnreadableImageSetError
from imagelane.core.health import MemberState
from imagelane.core.poison import PoisonGauge
from imagelane.dispatcher.core.plan import UnplannableError
from imagelane.dispatcher.errands import Errand, Happening, Turned
from imagelane.dispatcher.failpoints import AFTER_STATE, BEFORE_STATE, Failpoints
from imagelane.dispatcher.log import CallLog, TransactionAbortedError, Write
from imagelane.dispatcher.membership import SERVICE, Membership, Polled
from imagelane.dispatcher.metrics import measure
from imagelane.dispatcher.ownership import Ownership, boot_seconds
from imagelane.dispatcher.reporting import report
from imagelane.dispatcher.spans import CallSpans
from imagelane.dispatcher.turn import Holding, Rules, Turn, read
from imagelane.platform.metrics_dead_letters import DEAD_LETTERS
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings

POLL_SECONDS: Final = 0.1
"""Each turn costs 0.3 ms, though nothing has happened."""
ABORTED_PAUSE_SECONDS: Final = 0.2
MEASURE_SECONDS: Final = 5.0


class LaneOwner:
    """Owns the books of the partitions that are this worker's. Belongs to the one Kafka thread."""

    def __init__(
        self,
        settings: KafkaSettings,
        ownership: Ownership,
        membership: Membership,
        log: CallLog,
        rules: Rules,
        failpoints: Failpoints,
        spans: CallSpans | None = None,
    ) -> None:
        self._settings = settings
        self._ownership = ownership
        self._membership = membership
        self._log = log
        self._rules = rules
        self._failpoints = failpoints
        self._spans = spans
        self._holdings: dict[int, Holding] = {}
        self._taken = 0
        self._poison = PoisonGauge(settings.unreadable_ratio, settings.unreadable_records)
        self._measure_at = 0.0
        self._lines = structlog.get_logger("imagelane.lanes")

    def open(self) -> None:
        """Shuts out an earlier process of this name, and joins the group."""
        self._log.open()
        self._membership.join()

    def close(self) -> None:
        """Leaves the group."""
        self._membership.leave()

    def abandon(self) -> None:
        """Owns nothing any more, from now on and for every thread: nothing is sent, no log is read on."""
        self._ownership.terms = {}

    def still_owns(self, terms: Mapping[int, int]) -> bool:
        """Whether any of these partitions is ours, in the term given. For every thread."""
        return any(self._ownership.terms.get(at) == term for at, term in terms.items())

    def state(self) -> MemberState:
        """What the health probes want to know. For every thread."""
        silent_seconds = boot_seconds() - self._ownership.polled_at
        terms = self._ownership.terms
        restored = {at for at, holding in list(self._holdings.items()) if holding.restored}
        pending = sorted(terms.keys() - restored)
        reading = f"the log of partitions {pending} is still being read" if pending else ""
        return MemberState(
            turned_at=time.monotonic() - silent_seconds,
            positions=self._membership.positions,
            held=self._ownership.hold_reason or reading,
            unready=self._ownership.hold_reason or reading,
        )

    def turn(self, happenings: Sequence[Happening]) -> Turned:
        """Waits for input for a moment, unless something has happened; decides, writes, tells what follows."""
        polled = self._membership.poll(0.0 if happenings else POLL_SECONDS)
        turned = Turned(self._catch_up(), on_hold=bool(self._ownership.hold_reason))
        turn = Turn(self._holdings, self._rules)
        for record in polled.records:
            self._taken += 1
            self._take(turn, record)
        for happening in happenings:
            turn.hear(happening)
        turn.expire()
        try:
            self._write(turn, polled)
        except TransactionAbortedError:
            self._membership.step_back(polled.records)
            time.sleep(ABORTED_PAUSE_SECONDS)
            turned.again = happenings
            return turned
        self._conclude(turn, turned)
        restored = {at for at, holding in self._holdings.items() if holding.restored}
        self._membership.read_only(restored)
        self._measure()
        return turned

    def _catch_up(self) -> dict[int, int]:
        """Forgets what has left, and returns what has come and is to be restored.

        A topic that was grown has partitions of which the log has none: they hold all lanes, and no book.
        """
        terms = self._ownership.terms
        for partition, holding in list(self._holdings.items()):
            if terms.get(partition) != holding.term:
                del self._holdings[partition]
        known = range(self._settings.strict_partitions)
        arrived = {at: t for at, t in terms.items() if at in known and at not in self._holdings}
        self._holdings.update({at: Holding(term) for at, term in arrived.items()})
        return arrived

    def _take(self, turn: Turn, record: Record) -> None:
        try:
            turn.take(record.partition, read(record, self._settings.strict_partitions))
        except (UnreadableRecordError, UnreadableImageSetError, UnplannableError) as error:
            group = self._settings.group(SERVICE)
            turn.letters.append(Write.of_dead_letter(record, error, group))
            DEAD_LETTERS.labels(record.topic).inc()
            self._poison.unreadable(boot_seconds(), self._taken)
            self._lines.error(
                "record.dead_lettered",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=str(error),
            )

    def _write(self, turn: Turn, polled: Polled) -> None:
        touched = {record.partition for record in polled.records} | turn.written
        if not touched:
            return
        for draft in turn.drafts.values():
            for lane in draft.lanes.values():
                self._failpoints.reach(BEFORE_STATE.get(lane.state))
        offsets = self._membership.offsets_after(polled.records, touched)
        self._log.write(turn.writes(), offsets, polled.group_metadata)
        self._membership.advance(offsets)

    def _conclude(self, turn: Turn, turned: Turned) -> None:
        durable_at = boot_seconds()
        for partition, draft in turn.drafts.items():
            if self._spans is not None:
                self._spans.add(draft)
            draft.apply()
            report(draft)
            for lane in draft.lanes.values():
                self._failpoints.reach(AFTER_STATE.get(lane.state))
            turned.told += [(event, partition) for event in draft.told]
            turned.hinted += draft.hinted
            for customer_id, pursuit in draft.pursuits.items():
                if pursuit is None:
                    turned.idle.append(customer_id)
                else:
                    lane, term = draft.lane(customer_id), self._holdings[partition].term
                    turned.errands.append(Errand(partition, term, lane, pursuit, durable_at))

    def _measure(self) -> None:
        now = time.monotonic()
        if now >= self._measure_at:
            self._measure_at = now + MEASURE_SECONDS
            books = (holding.book for holding in self._holdings.values())
            measure(books, datetime.now(UTC))
