"""What is known of the lanes of one partition: the log, folded, and the steps under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from imagelane.contracts.events import JobRecorded, LaneRecorded
from imagelane.dispatcher.core.outcomes import JobOutcomes, from_record
from imagelane.dispatcher.core.pursuit import Pursuit


@dataclass(slots=True)
class Book:
    """Only what is durable, by customer (and job). Steps are a worker's own and not in the log."""

    lanes: dict[str, LaneRecorded] = field(default_factory=dict)
    jobs: dict[tuple[str, str], JobOutcomes] = field(default_factory=dict)
    pursuits: dict[str, Pursuit] = field(default_factory=dict)

    def read(self, record: LaneRecorded | JobRecorded) -> None:
        """Folds one record of the log. Raises `UnreadableImageSetError`."""
        if isinstance(record, LaneRecorded):
            self.lanes[record.customer_id] = record
        else:
            self.jobs[record.customer_id, record.job_id] = from_record(record)
