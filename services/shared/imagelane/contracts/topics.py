"""Topic names, and which events travel on which topic. The files in `schemas/topics` say the rest."""

from __future__ import annotations

from typing import Final

from imagelane.contracts import commands as c
from imagelane.contracts import dead_letters as d
from imagelane.contracts import events as e
from imagelane.contracts import hosts as h
from imagelane.contracts import keys as k
from imagelane.contracts import notices as n

URLS: Final = "urls"
REQUESTED: Final = "requested"
DOWNLOADED: Final = "downloaded"
PROCESSED: Final = "processed"
JOBS: Final = "jobs"
BATCHES: Final = "batches"
COMPLETED: Final = "completed"
FINISHED: Final = "finished"
MISSING: Final = "missing"
COMMANDS: Final = "commands"
CALLBACKS: Final = "callbacks"
TICKS: Final = "ticks"
CALLS: Final = "calls"
TOPOLOGY: Final = "topology"
KEYS: Final = "keys"
NOTICES: Final = "notices"
HOSTS: Final = "hosts"
DLQ_DECISIONS: Final = "dlq-decisions"

EVENTS_OF: Final[dict[str, tuple[type[e.Event], ...]]] = {
    REQUESTED: (e.ImageRequested,),
    DOWNLOADED: (e.ImageDownloaded,),
    PROCESSED: (e.ImageProcessed,),
    JOBS: (e.JobAccepted, e.JobRefused, e.JobSealed),
    BATCHES: (e.BatchRequested, e.ImagesSettled),
    COMPLETED: (e.CallCompleted, e.LaneTold),
    FINISHED: (e.JobFinished,),
    MISSING: (e.ImagesMissing,),
    COMMANDS: (c.CancelJob, c.DeleteJob, c.CancelCustomer, c.DeleteCustomer, c.ReleaseLane),
    CALLBACKS: (e.CallHinted,),
    TICKS: (e.LaneTicked,),
    CALLS: (e.LaneRecorded, e.JobRecorded),
    TOPOLOGY: (e.TopologyRecorded,),
    KEYS: (k.KeyRecorded,),
    NOTICES: (n.NoticeRecorded,),
    HOSTS: (h.HostRecorded,),
    DLQ_DECISIONS: (d.DeadLetterDecided,),
}
"""The closed list for every topic but `urls`, which takes `ListSubmitted` in three shapes."""

TOPIC_OF: Final[dict[type[e.Event], str]] = {
    event: topic for topic, events in EVENTS_OF.items() for event in events
}

SPREAD: Final = frozenset({REQUESTED, DOWNLOADED})
"""Topics on which a customer may have several partitions; all others (but `urls`) are strict."""


def dead_letter_topic(topic: str) -> str:
    """Where unreadable records of `topic` go."""
    return f"dlq.{topic}"
