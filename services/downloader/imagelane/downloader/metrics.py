"""What the downloader counts and measures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from msgspec import UNSET

from imagelane.contracts.events import ImageDownloaded
from imagelane.core.failures import Code
from imagelane.downloader.core.pace import Throttling
from imagelane.downloader.core.schedule import HostSchedule
from imagelane.platform.metrics import FETCHES, MetricList

METRICS: Final = MetricList("downloader")

IMAGES: Final = METRICS.counter(
    "imagelane_downloader_images_total",
    "Images told: `ok`, or the public code of their failure.",
    result=("ok", *Code),
)
OK: Final = IMAGES.labels("ok")
BYTES: Final = METRICS.counter(
    "imagelane_downloader_original_bytes_total", "Bytes of the originals stored."
)
ANSWERS: Final = METRICS.histogram(
    "imagelane_downloader_answer_seconds",
    "From a request to the first byte of the image, redirects included.",
    FETCHES,
)
FETCHING: Final = METRICS.histogram(
    "imagelane_downloader_image_seconds",
    "From an image's first try to its original stored, waits between tries included.",
    FETCHES,
)
RETRIES: Final = METRICS.counter(
    "imagelane_downloader_retries_total",
    "Tries that failed and are made again, by the code of the failure.",
    code=Code,
)
GIVEN_UP: Final = METRICS.counter(
    "imagelane_downloader_given_up_images_total",
    "Images failed without a try of their own, since their server had failed beyond patience.",
)
IN_FLIGHT: Final = METRICS.gauge(
    "imagelane_downloader_in_flight_images", "Images that are being fetched."
)
WAITING: Final = METRICS.gauge(
    "imagelane_downloader_waiting_images", "Images that wait for their server, or for another try."
)
SERVERS: Final = METRICS.gauge(
    "imagelane_downloader_servers", "Servers that are remembered, at most 10,000 idle ones."
)
HELD: Final = METRICS.gauge(
    "imagelane_downloader_is_held", "1 while nothing is fetched because the processor is behind."
)
CUTS: Final = METRICS.counter(
    "imagelane_downloader_server_cuts_total",
    "How often a server's concurrency was cut: for trouble (time-outs, 429, 503, cut connections),"
    " or because its answers took longer than usual.",
    why=("trouble", "latency"),
)
PAUSES: Final = METRICS.counter(
    "imagelane_downloader_server_pauses_total",
    "How often a server was left alone for a while: because it asked to (Retry-After), or because it"
    " fails whatever is asked of it, and is only probed.",
    why=("asked", "failing"),
)


def count(event: ImageDownloaded) -> None:
    """An image's outcome is on its way."""
    if event.original is not UNSET:
        BYTES.inc(event.original.size_bytes)
        FETCHING.observe(event.seconds)
    (OK if event.failure is UNSET else IMAGES.labels(event.failure.code)).inc()


class ScheduleGauges:
    """A schedule's state. What it counts by itself is shown as the difference to the last time."""

    def __init__(self) -> None:
        self._shown = Throttling()

    def show(self, schedule: HostSchedule[Any]) -> None:
        """Costs as much as a few images, so it is for once a second."""
        IN_FLIGHT.set(schedule.in_flight)
        WAITING.set(schedule.waiting)
        SERVERS.set(schedule.servers)
        before, now = self._shown, replace(schedule.throttling)
        CUTS.labels("trouble").inc(now.cuts_for_trouble - before.cuts_for_trouble)
        CUTS.labels("latency").inc(now.cuts_for_latency - before.cuts_for_latency)
        PAUSES.labels("asked").inc(now.pauses_asked - before.pauses_asked)
        PAUSES.labels("failing").inc(now.pauses_failing - before.pauses_failing)
        self._shown = now
