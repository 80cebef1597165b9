"""What `EventProducer` counts."""

from __future__ import annotations

from typing import Final

from imagelane.platform.metrics import MetricList

METRICS: Final = MetricList(
    "intake", "downloader", "processor", "dispatcher", "gateway", "notifier"
)
SENT: Final = METRICS.counter(
    "imagelane_producer_records_total",
    "Records sent, by what became of them.",
    result=("delivered", "failed"),
)
DELIVERED: Final = SENT.labels("delivered")
FAILED: Final = SENT.labels("failed")
UNDER_WAY: Final = METRICS.gauge(
    "imagelane_producer_under_way_records",
    "Records handed over whose delivery is not reported yet.",
)
