"""Records that could not be read. Any increase is somebody's mistake, ours or another system's."""

from __future__ import annotations

from typing import Final

from imagelane.contracts import topics
from imagelane.platform.metrics import MetricList

METRICS: Final = MetricList("intake", "downloader", "processor", "batcher", "dispatcher")
DEAD_LETTERS: Final = METRICS.counter(
    "imagelane_dead_letters_total",
    "Records put into `dlq.<topic>` because they cannot be read, by the topic they came from.",
    topic=(topics.URLS, *topics.EVENTS_OF),
)
