"""The customers' lanes as the dispatcher's log tells of them, for people and for scripts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, TypeVar

from confluent_kafka import TopicPartition
from msgspec import UNSET, Struct, UnsetType

from imagelane.contracts.codec import decode
from imagelane.contracts.commands import ReleaseLane
from imagelane.contracts.events import LaneRecorded
from imagelane.contracts.topics import CALLS
from imagelane.core.partitioning import partition_of
from imagelane.platform.groups import admin_client
from imagelane.platform.latest_records import end_offsets, latest_records, readable, reader
from imagelane.platform.settings import KafkaSettings

READ_SECONDS: Final = 0.2
T = TypeVar("T")

ORDER: Final = ("held", "active", "submitting", "planned", "idle")


class LaneView(Struct, frozen=True, kw_only=True):
    """One lane. Every field is always there; times are RFC 3339 in UTC, null for what is not.

    `ready` and `open_jobs` only the tracker counts: null where the dispatcher's log was read instead.
    """

    customer_id: str
    state: str
    """idle, planned, submitting, active or held."""
    seq: int
    """The number of the customer's newest call; 0 before the first."""
    images: int
    """In the call that is under way; 0 where none is."""
    since: datetime | None
    """When the lane came into its state."""
    attempts: int
    hold_reason: str | None
    overdue_since: datetime | None
    usual_seconds: float | None
    call_id: str | None
    reference: str | None
    ready: int | None = None
    """Images that wait for the next call."""
    open_jobs: int | None = None
    stands_still: str | None = None
    """Why no lane sends anything, this one included; null where the dispatcher's log was read instead."""


def view_of(lane: LaneRecorded) -> LaneView:
    """What is shown of a lane's record."""
    plan = None if lane.plan is UNSET else lane.plan
    return LaneView(
        customer_id=lane.customer_id,
        state=lane.state,
        seq=lane.last_seq,
        images=plan.images if plan else 0,
        since=_since(lane),
        attempts=lane.attempts,
        hold_reason=_or_none(lane.hold_reason),
        overdue_since=_or_none(lane.overdue_since),
        usual_seconds=_or_none(lane.usual_seconds),
        call_id=_or_none(lane.call_id),
        reference=plan.reference if plan else None,
    )


def lanes(settings: KafkaSettings) -> list[LaneView]:
    """Every lane: held ones first, then overdue ones, by state and customer.

    Raises `KafkaException`, `ReadingTooLongError`.
    """
    records = (decode(CALLS, value) for value in latest_records(settings, CALLS).values())
    views = [view_of(one) for one in records if isinstance(one, LaneRecorded)]
    return in_order(views)


def in_order(views: Iterable[LaneView]) -> list[LaneView]:
    """What a person has to look at first."""
    return sorted(
        views,
        key=lambda one: (
            one.state != "held",
            one.overdue_since is None,
            ORDER.index(one.state) if one.state in ORDER else len(ORDER),
            one.customer_id,
        ),
    )


def lane_of(settings: KafkaSettings, customer_id: str) -> LaneRecorded | None:
    """One customer's lane; only its partition is read. Raises as `lanes` does."""
    partition = partition_of(customer_id.encode(), settings.strict_partitions)
    for value in latest_records(settings, CALLS, partition=partition).values():
        record = decode(CALLS, value)
        if isinstance(record, LaneRecorded) and record.customer_id == customer_id:
            return record
    return None


class LaneFollower:
    """Hears of every change of one lane from now on. Raises `KafkaException`."""

    def __init__(self, settings: KafkaSettings, customer_id: str) -> None:
        self._customer_id = customer_id
        partition = partition_of(customer_id.encode(), settings.strict_partitions)
        end = end_offsets(admin_client(settings), settings, CALLS)[partition]
        self._consumer = reader(settings)
        self._consumer.assign([TopicPartition(settings.topic(CALLS), partition, end)])

    def changes(self, seconds: float) -> Iterator[LaneRecorded]:
        """The lane's records, as they come, for so long at most."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in readable(self._consumer.consume(100, READ_SECONDS)):
                value = message.value()
                record = None if value is None else decode(CALLS, value)
                if isinstance(record, LaneRecorded) and record.customer_id == self._customer_id:
                    yield record

    def close(self) -> None:
        """Ends the client."""
        self._consumer.close()


def effect_of(command: ReleaseLane, lane: LaneRecorded) -> str | None:
    """What the lane's record tells of the command; None if it was not carried out yet."""
    answer, decision = lane.last_answer, lane.decision
    if answer is not UNSET and answer.seq == command.seq:
        images = f"{answer.images} images of call {command.seq}"
        mine = answer.decision is not UNSET and answer.decision.decided_at == command.occurred_at
        return f"{images} ended as {answer.status}" + ("" if mine else ", before the command came")
    if decision is not UNSET and decision.decided_at == command.occurred_at:
        if lane.state == "held":
            return f"call {command.seq} was tried again, and is held again: {lane.hold_reason}"
        return f"call {command.seq} is under way again: {lane.state}"
    if lane.state != "held":
        return f"the lane had gone on by itself: it is {lane.state}, with call {lane.last_seq}"
    return None


def _since(lane: LaneRecorded) -> datetime:
    times: dict[str, datetime | UnsetType] = {
        "held": lane.held_since,
        "active": lane.active_since,
        "submitting": lane.first_attempt_at,
        "planned": UNSET if lane.plan is UNSET else lane.plan.planned_at,
    }
    since = times.get(lane.state, UNSET)
    return lane.occurred_at if since is UNSET else since


def _or_none(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value
