"""What intake counts and measures."""

from __future__ import annotations

from typing import Final

from imagelane.contracts.events import Event
from imagelane.contracts.topics import COMMANDS, EVENTS_OF, FINISHED, MISSING
from imagelane.core.failures import Code
from imagelane.platform.metrics import CALLS, FETCHES, MetricList


def tag_of(event: type[Event]) -> str:
    """An event's type, as its records say it."""
    return str(event.__struct_config__.tag)


METRICS: Final = MetricList("intake")

LISTS: Final = METRICS.counter(
    "imagelane_intake_lists_total",
    "Submissions decided: `accepted`, `repeated` (the same submission once more, or after a restart), or"
    " the public code of their refusal.",
    result=("accepted", "repeated", *Code),
)
ADMITTING: Final = METRICS.histogram(
    "imagelane_intake_list_seconds",
    "From a submission's turn to its decision: fetch, read, freeze.",
    FETCHES,
)
ACTIVE: Final = METRICS.gauge(
    "imagelane_intake_active_lists", "Lists whose images are being requested, or wait for that."
)
REQUESTED: Final = METRICS.counter(
    "imagelane_intake_requested_images_total", "Images requested, those of the sweep included."
)
REQUESTED_AGAIN: Final = METRICS.counter(
    "imagelane_intake_requested_again_images_total",
    "Images requested once more because the sweep missed them. Any is worth a look.",
)
ROOM: Final = METRICS.histogram(
    "imagelane_intake_room_wait_seconds",
    "For how long a list's next requests waited until the downloader had caught up.",
    CALLS,
)
SEALED: Final = METRICS.counter(
    "imagelane_intake_sealed_lists_total", "Lists whose images are all requested."
)
ORDERS: Final = METRICS.counter(
    "imagelane_intake_orders_total",
    "Orders followed, by type: of people, of the sweep, and that jobs have finished.",
    type=map(tag_of, (*EVENTS_OF[MISSING], *EVENTS_OF[COMMANDS], *EVENTS_OF[FINISHED])),
)
