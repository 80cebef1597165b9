"""What the tracker counts and measures."""

from __future__ import annotations

from typing import Final

from imagelane.platform.metrics import MOMENTS, MetricList
from imagelane.tracker.inputs import INPUTS

METRICS: Final = MetricList("tracker")

RECORDS: Final = METRICS.counter(
    "imagelane_tracker_records_total",
    "Records that are in the database, by their topic; after a rebuild they count again.",
    topic=INPUTS,
)
UNREADABLE: Final = METRICS.counter(
    "imagelane_tracker_unreadable_records_total",
    "Records that could not be read: each is a row among the dead letters.",
)
BEHIND: Final = METRICS.gauge(
    "imagelane_tracker_behind_records",
    "Records of this worker's partitions, of all topics, that are not in the database yet.",
)
WRITING: Final = METRICS.histogram(
    "imagelane_tracker_batch_seconds",
    "From a batch read to its transaction written.",
    MOMENTS,
)
