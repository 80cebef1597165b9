"""Commands of people: who decided, about which job, and onto the topic `commands` with it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET

from imagelane.contracts.codec import decode, encode, headers_of, key_of
from imagelane.contracts.commands import (
    CancelCustomer,
    CancelJob,
    DeleteCustomer,
    DeleteJob,
    ReleaseLane,
)
from imagelane.contracts.events import JobAccepted, LaneRecorded
from imagelane.contracts.topics import COMMANDS, JOBS
from imagelane.core.partitioning import partition_of
from imagelane.ops.delivery import Letter, deliver
from imagelane.platform.latest_records import read_records
from imagelane.platform.settings import KafkaSettings

SOURCE: Final = "/services/ops"
A_MOMENT: Final = timedelta(milliseconds=1)

Command = CancelJob | DeleteJob | CancelCustomer | DeleteCustomer | ReleaseLane


def command(settings: KafkaSettings, event: Command) -> None:
    """Produces the command, and waits until Kafka has it. Raises `DeliveryError`."""
    key = key_of(event)
    partition = partition_of(key, settings.strict_partitions)
    headers = headers_of(event, source=SOURCE)
    deliver(settings, [Letter(COMMANDS, key, encode(event), headers, partition)])


def customer_of(settings: KafkaSettings, job_id: str) -> str | None:
    """Whose job it is, from the topic `jobs`; None for one that was never accepted, or long ago."""
    for message in read_records(settings, JOBS):
        event = decode(JOBS, message.value())
        if isinstance(event, JobAccepted) and event.job_id == job_id:
            return event.customer_id
    return None


def moment_to_release(lane: LaneRecorded, now: datetime) -> datetime:
    """Now; but after the hold began, should this machine's clock be behind the dispatcher's."""
    return now if lane.held_since is UNSET else max(now, lane.held_since + A_MOMENT)
