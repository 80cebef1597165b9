"""What the batcher counts and measures."""

from __future__ import annotations

from typing import Final, get_args

from imagelane.batcher.core.census import Census
from imagelane.batcher.core.lane_life import State
from imagelane.contracts.events import Event
from imagelane.contracts.topics import BATCHES, EVENTS_OF, FINISHED, MISSING, TICKS
from imagelane.platform.metrics import MetricList


def tag_of(event: type[Event]) -> str:
    """An event's type, as its records say it."""
    return str(event.__struct_config__.tag)


METRICS: Final = MetricList("batcher")

EVENTS: Final = METRICS.counter(
    "imagelane_batcher_events_total",
    "Events taken from the inputs: `folded`, `repeated`, `ahead` (Faust skipped those before it, so the"
    " order guard waits for them: it is neither processed nor acknowledged) or `unreadable`.",
    how=("folded", "repeated", "ahead", "unreadable"),
)
FOLDED: Final = EVENTS.labels("folded")
REPEATED: Final = EVENTS.labels("repeated")
AHEAD: Final = EVENTS.labels("ahead")
UNREADABLE: Final = EVENTS.labels("unreadable")
GAPS_IGNORED: Final = METRICS.counter(
    "imagelane_batcher_ignored_gaps_total", "Holes in the inputs that Faust claimed to see."
)
SENT: Final = METRICS.counter(
    "imagelane_batcher_sent_events_total",
    "Events sent, by type; one that is repeated counts again.",
    type=map(
        tag_of, (e for topic in (BATCHES, FINISHED, MISSING, TICKS) for e in EVENTS_OF[topic])
    ),
)
IMAGES_MISSING: Final = METRICS.counter(
    "imagelane_batcher_missing_images_total",
    "Images that the sweep has named as missing. Any is worth a look.",
)
TABLE_WRITES: Final = METRICS.counter(
    "imagelane_batcher_table_records_total", "Records written to the table's changelog."
)
TABLE_BYTES: Final = METRICS.counter(
    "imagelane_batcher_table_bytes_total", "Bytes of keys and values of those."
)
GATE_OPENED: Final = METRICS.counter(
    "imagelane_batcher_gate_openings_total", "How often partitions were taken over."
)
LANES: Final = METRICS.gauge(
    "imagelane_batcher_lanes", "Lanes in this worker's partitions, by state.", state=get_args(State)
)
UNFINISHED: Final = METRICS.gauge("imagelane_batcher_unfinished_jobs", "Jobs that are not over.")
READY: Final = METRICS.gauge(
    "imagelane_batcher_ready_images", "Images that wait for a call, and are in no open request."
)
REQUESTED: Final = METRICS.gauge(
    "imagelane_batcher_requested_images", "Images in requests that are not answered yet."
)
LONGEST_READY: Final = METRICS.gauge(
    "imagelane_batcher_longest_wait_seconds",
    "For how long a lane without an open request has had images ready: the lane where it is longest.",
)
LONGEST_REQUEST: Final = METRICS.gauge(
    "imagelane_batcher_longest_request_seconds",
    "Age of the oldest request that is not answered: its call runs, or its lane is held.",
)


def show(census: Census) -> None:
    """Shows how all lanes stand."""
    for state in get_args(State):
        LANES.labels(state).set(census.lanes[state])
    UNFINISHED.set(census.unfinished_jobs)
    READY.set(census.ready_images)
    REQUESTED.set(census.requested_images)
    LONGEST_READY.set(census.longest_ready_seconds)
    LONGEST_REQUEST.set(census.longest_request_seconds)
