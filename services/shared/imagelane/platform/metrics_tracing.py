"""What became of spans. Losing some is no fault of the road: a trace is a help, never a record."""

from __future__ import annotations

from typing import Final

from imagelane.platform.metrics import MetricList

METRICS: Final = MetricList(
    "intake", "downloader", "processor", "batcher", "dispatcher", "gateway", "notifier", "tracker"
)
SPANS: Final = METRICS.counter(
    "imagelane_trace_spans_total",
    "Spans, by what became of them: `exported`, `failed` (the collector did not take them), `dropped`"
    " (more were waiting for it than OTEL_BSP_MAX_QUEUE_SIZE). All 0 while tracing is off.",
    result=("exported", "failed", "dropped"),
)
