"""What the processor counts and measures."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from imagelane.contracts.events import ImageProcessed
from imagelane.core.failures import Code
from imagelane.platform.metrics import MOMENTS, MetricList

METRICS: Final = MetricList("processor")

IMAGES: Final = METRICS.counter(
    "imagelane_processor_images_total",
    "Images told as processed: `ok`, or the public code of their failure, the downloader's included.",
    result=("ok", *Code),
)
OK: Final = IMAGES.labels("ok")
ORIGINAL_BYTES: Final = METRICS.counter(
    "imagelane_processor_original_bytes_total", "Bytes of the originals that were worked on."
)
OUTPUT_BYTES: Final = METRICS.counter(
    "imagelane_processor_output_bytes_total", "Bytes of the results stored."
)
WAITING: Final = METRICS.histogram(
    "imagelane_processor_child_wait_seconds",
    "For how long an image waited for a decode child, its files open.",
    MOMENTS,
)
DECODING: Final = METRICS.histogram(
    "imagelane_processor_child_work_seconds",
    "For how long a decode child worked on an image: decode, resize, encode.",
    MOMENTS,
)
MAKING: Final = METRICS.histogram(
    "imagelane_processor_image_seconds",
    "From taking an image to all its results stored, or its failure.",
    MOMENTS,
)
REPEATED: Final = METRICS.counter(
    "imagelane_processor_repeated_images_total",
    "Records whose original was gone: they were told by an earlier delivery.",
)
KEPT_ORIGINALS: Final = METRICS.counter(
    "imagelane_processor_kept_originals_total",
    "Originals that could not be deleted after their image was told.",
)
CHILDREN: Final = METRICS.gauge("imagelane_processor_children", "Decode children that run.")
ENDED_CHILDREN: Final = METRICS.counter(
    "imagelane_processor_ended_children_total",
    "Decode children that ended: `recycled` after their share of images, `made_room` for a fresh one"
    " that a second try needs, `crashed` by an image (want of memory included), `killed_by_limit` of"
    " its time by the clock or the CPU, `vanished` between two images.",
    why=("recycled", "made_room", "crashed", "killed_by_limit", "vanished"),
)
UNREADABLE_RESULTS: Final = METRICS.counter(
    "imagelane_processor_unreadable_results_total",
    "Looks at a stored result's public URL that did not find it (with VERIFY_PUBLIC only).",
)


def count(event: ImageProcessed) -> None:
    """An image was told."""
    if event.outputs is not UNSET:
        OUTPUT_BYTES.inc(sum(output.size_bytes for output in event.outputs))
    (OK if event.failure is UNSET else IMAGES.labels(event.failure.code)).inc()
