"""What the notifier counts and measures."""

from __future__ import annotations

from typing import Final, get_args

from imagelane.contracts.notices import NoticeResult
from imagelane.platform.metrics import FETCHES, MetricList

METRICS: Final = MetricList("notifier")

ATTEMPTS: Final = METRICS.counter(
    "imagelane_notifier_attempts_total",
    "Attempts to post a notice, by what they came to; `too_many` was never posted.",
    result=get_args(NoticeResult),
)
SECONDS: Final = METRICS.histogram(
    "imagelane_notifier_attempt_seconds", "From an attempt's beginning to its end.", FETCHES
)
ENDED: Final = METRICS.counter(
    "imagelane_notifier_ended_notices_total",
    "Notices that are over: taken by their receiver, or given up.",
    end=("delivered", "given_up"),
)
PENDING: Final = METRICS.gauge(
    "imagelane_notifier_pending_notices", "Notices of this worker's partitions that wait."
)
UNREADABLE: Final = METRICS.counter(
    "imagelane_notifier_unreadable_records_total",
    "Records of `notices` that cannot be read. Any is worth a look: somebody waits in vain.",
)
