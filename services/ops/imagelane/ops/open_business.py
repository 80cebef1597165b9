"""Whether the road is drained: what of jobs, calls and records is still open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from confluent_kafka.admin import AdminClient

from imagelane.contracts.codec import decode
from imagelane.contracts.events import JobAccepted, JobFinished, LaneRecorded
from imagelane.contracts.topic_files import TopicFile
from imagelane.contracts.topics import CALLBACKS, CALLS, FINISHED, JOBS, MISSING, TICKS, URLS
from imagelane.ops.consumer_groups import ConsumerGroups
from imagelane.platform.latest_records import (
    end_offsets,
    latest_records,
    read_records,
    start_offsets,
)
from imagelane.platform.settings import KafkaSettings

ROAD: Final = ("intake", "downloader", "processor", "batcher", "dispatcher")
MAY_WAIT: Final = frozenset({URLS, TICKS, CALLBACKS, MISSING})
"""Lists that nobody has begun with, and hints that are worth nothing once all jobs are finished."""


def open_business(
    settings: KafkaSettings, admin: AdminClient, files: Mapping[str, TopicFile]
) -> list[str]:
    """Everything that is under way, each in words. Raises `KafkaException`, `ReadingTooLongError`."""
    return [
        *_open_jobs(settings),
        *_busy_lanes(settings),
        *_unread(settings, admin, files),
    ]


def _open_jobs(settings: KafkaSettings) -> Iterator[str]:
    accepted: dict[str, str] = {}
    for message in read_records(settings, JOBS):
        job = decode(JOBS, message.value())
        if isinstance(job, JobAccepted):
            accepted[job.job_id] = job.customer_id
    for message in read_records(settings, FINISHED):
        event = decode(FINISHED, message.value())
        if isinstance(event, JobFinished):
            accepted.pop(event.job_id, None)
    for job_id, customer_id in accepted.items():
        yield f"job {job_id} of {customer_id} is not finished"


def _busy_lanes(settings: KafkaSettings) -> Iterator[str]:
    for value in latest_records(settings, CALLS).values():
        event = decode(CALLS, value)
        if isinstance(event, LaneRecorded) and event.state != "idle":
            yield f"the lane of {event.customer_id} is {event.state}, with call {event.last_seq}"


def _unread(
    settings: KafkaSettings, admin: AdminClient, files: Mapping[str, TopicFile]
) -> Iterator[str]:
    groups = ConsumerGroups(admin, settings)
    for file in files.values():
        readers = [service for service in ROAD if service in file.consumers]
        if file.compacted or file.name in MAY_WAIT or not readers:
            continue
        starts = start_offsets(admin, settings, file.name)
        ends = end_offsets(admin, settings, file.name)
        for service in readers:
            read: dict[int, int] = {}
            for group in groups.of_service(service):
                read |= groups.commits(group, file.name, len(ends))
            unread = sum(ends[at] - max(read.get(at, 0), starts[at]) for at in ends)
            if unread:
                yield f"{service} has not read {unread} records of {settings.topic(file.name)}"
