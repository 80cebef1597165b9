"""How members of consumer groups stand, whichever client they use: seen by `GroupWatch`."""

from __future__ import annotations

from typing import Final

from imagelane.platform.metrics import MetricList

GROUPS: Final = (
    *("intake", "intake-orders", "downloader", "processor", "notifier"),
    *("batcher", "dispatcher"),
)

METRICS: Final = MetricList(
    "intake", "downloader", "processor", "notifier", "batcher", "dispatcher"
)
PARTITIONS: Final = METRICS.gauge(
    "imagelane_group_partitions",
    "Partitions that this worker has, of all the group's topics.",
    group=GROUPS,
)
LAG: Final = METRICS.gauge(
    "imagelane_group_lag_records",
    "Unfinished records in this worker's partitions: unread on the broker, read ahead, or in work.",
    group=GROUPS,
)
IN_WORK: Final = METRICS.gauge(
    "imagelane_group_in_work_records", "Records taken and not yet done.", group=GROUPS
)
SILENT: Final = METRICS.gauge(
    "imagelane_group_silent_seconds",
    "Since when the group's Kafka client was not looked after; above 60 it counts as stuck.",
    group=GROUPS,
)
IDLE: Final = METRICS.gauge(
    "imagelane_group_idle_seconds",
    "For how long records have waited while none was taken; 0 where none waits.",
    group=GROUPS,
)
