"""What is known of the lanes of one partition: the log, folded, and the steps under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from imagelane.contracts.events import JobRecorded, LaneRecorded
from imagelane.dispatcher.core.outcomes import JobOutcomes, from_record
from imagelane.dispatcher.core.step import Pursuit

JobKey = tuple[str, str]
"""Customer and job."""


@dataclass(slots=True)
class Book:
    """Only what is durable, by customer (and job). Steps are a worker's own and not in the log.

    `changed_at` tells when each job changed for the last time, the oldest first.
    """

    lanes: dict[str, LaneRecorded] = field(default_factory=dict)
    jobs: dict[JobKey, JobOutcomes] = field(default_factory=dict)
    changed_at: dict[JobKey, datetime] = field(default_factory=dict)
    pursuits: dict[str, Pursuit] = field(default_factory=dict)

    def read(self, record: LaneRecorded | JobRecorded) -> None:
        """Folds one record of the log. Raises `UnreadableImageSetError`."""
        if isinstance(record, LaneRecorded):
            self.lanes[record.customer_id] = record
        else:
            key = record.customer_id, record.job_id
            self.remember(key, from_record(record), record.occurred_at)

    def remember(self, key: JobKey, outcomes: JobOutcomes, changed_at: datetime) -> None:
        """A job has changed."""
        self.jobs[key] = outcomes
        self.changed_at.pop(key, None)  # so that it becomes the last one
        self.changed_at[key] = changed_at

    def forget(self, key: JobKey) -> None:
        """A job is over."""
        del self.jobs[key], self.changed_at[key]

    def put_in_order(self) -> None:
        """To be called when records were read in another order than that of their making."""
        self.changed_at = dict(sorted(self.changed_at.items(), key=lambda one: one[1]))
