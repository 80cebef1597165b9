"""What the dispatcher counts and measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final, get_args

from msgspec import UNSET

from imagelane.dispatcher.core import holds
from imagelane.dispatcher.core.answers import LookAnswer, StartAnswer
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.lane import State
from imagelane.dispatcher.core.step import Kind
from imagelane.platform.metrics import CALLS, FETCHES, MOMENTS, MetricList

METRICS: Final = MetricList("dispatcher")
STATES: Final[tuple[State, ...]] = get_args(State)
ENDINGS: Final = ("completed", "partial", "failed", "refused", "decided")

KINDS: Final = {
    kind: kind.replace(",", "").replace(" ", "_") for kind in (*holds.HOLDS, holds.OTHER)
}
"""The kinds of holds, each with its word as a label."""


def word_of(answer: type[object]) -> str:
    """What an answer's class is called as a label: `NotFound` is `not_found`."""
    return "".join("_" * (n > 0 and c.isupper()) + c.lower() for n, c in enumerate(answer.__name__))


LANES: Final = METRICS.gauge(
    "imagelane_dispatcher_lanes",
    "This worker's lanes, by state: one that is `held` needs a person, or waits for the batch API to be mended.",
    state=STATES,
)
OVERDUE: Final = METRICS.gauge(
    "imagelane_dispatcher_overdue_calls",
    "Calls that take far longer than their customers' calls usually take.",
)
JOBS: Final = METRICS.gauge(
    "imagelane_dispatcher_remembered_jobs", "Jobs whose outcomes this worker has in memory."
)
ENDED: Final = METRICS.counter(
    "imagelane_dispatcher_ended_calls_total",
    "Calls that have ended, by how; `decided` by a person.",
    status=ENDINGS,
)
OVERDUE_TOTAL: Final = METRICS.counter(
    "imagelane_dispatcher_become_overdue_calls_total", "Calls that have become overdue."
)
HOLDS: Final = METRICS.counter(
    "imagelane_dispatcher_holds_total",
    "How often a lane has come to be held, by the kind of hold.",
    kind=KINDS.values(),
)
HELD: Final = METRICS.gauge(
    "imagelane_dispatcher_held_lanes",
    "This worker's lanes that are held, by the kind of hold: what a person has to look at.",
    kind=KINDS.values(),
)
ALL_HELD: Final = METRICS.gauge(
    "imagelane_dispatcher_is_held",
    "1 while no lane may send, since the topics are not what they should be.",
)
RELEASES: Final = METRICS.counter(
    "imagelane_dispatcher_releases_total",
    "People's decisions about held lanes; `not_fitting` were not carried out.",
    decision=("retry", "treat_as_done", "treat_as_failed", "not_fitting"),
)
IMAGES: Final = METRICS.counter(
    "imagelane_dispatcher_ended_images_total",
    "Images of the calls that have ended, by how their call ended.",
    status=ENDINGS,
)
CALL_SECONDS: Final = METRICS.histogram(
    "imagelane_dispatcher_call_seconds",
    "From the API's taking a call to its end as we saw it.",
    CALLS,
)
OLDEST: Final = METRICS.gauge(
    "imagelane_dispatcher_oldest_call_seconds",
    "Since when the batch API has been at the oldest of this worker's active calls; 0 without any.",
)
ANSWERS: Final = {
    Kind.SEND: tuple(map(word_of, get_args(StartAnswer))),
    **dict.fromkeys((Kind.FIND, Kind.LOOK, Kind.WATCH), tuple(map(word_of, get_args(LookAnswer)))),
}
"""What each step can be answered with."""
REQUESTS: Final = METRICS.counter(
    "imagelane_dispatcher_requests_total",
    "Requests to the batch API, by the step (`send`: an attempt to start a call; `find`, `look` and `watch`"
    " only ask) and by what the answer means; `unclear` after `send` is an ambiguous attempt.",
    step=ANSWERS,
    answer=dict.fromkeys(answer for answers in ANSWERS.values() for answer in answers),
)
for _step, _answers in ANSWERS.items():
    for _answer in _answers:
        REQUESTS.labels(_step, _answer)  # so that the first one of a kind is an increase
REQUEST_SECONDS: Final = METRICS.histogram(
    "imagelane_dispatcher_request_seconds",
    "From a step's beginning to the batch API's answer, or to none; `send` includes the wait for room.",
    FETCHES,
    step=ANSWERS,
)
TRANSACTIONS: Final = METRICS.counter(
    "imagelane_dispatcher_transactions_total",
    "Writes to the log: `committed`, `aborted` (nothing was written, and the input is read again), or"
    " `not_a_member` (the group has not taken this worker in, so it was not begun).",
    result=("committed", "aborted", "not_a_member"),
)
TRANSACTION_SECONDS: Final = METRICS.histogram(
    "imagelane_dispatcher_transaction_seconds", "What a committed write took.", MOMENTS
)
RESTORE_SECONDS: Final = METRICS.histogram(
    "imagelane_dispatcher_restore_seconds",
    "What it took to read the log of partitions that came; their lanes stand still meanwhile.",
    CALLS,
)
EXPIRED: Final = METRICS.counter(
    "imagelane_dispatcher_forgotten_jobs_total",
    "Jobs that were forgotten: nothing of them had changed for the retention, or there were too many.",
)


def count_answer(kind: Kind, answer: StartAnswer | LookAnswer, seconds: float) -> None:
    """The batch API has answered a step, or has not."""
    REQUESTS.labels(kind, word_of(type(answer))).inc()
    REQUEST_SECONDS.labels(kind).observe(seconds)


def measure(books: Iterable[Book], now: datetime) -> None:
    """Sets the gauges. Takes some milliseconds for 100,000 lanes."""
    states: Counter[str] = Counter()
    held: Counter[str] = Counter()
    overdue = jobs = 0
    active_since = now
    for book in books:
        states.update(lane.state for lane in book.lanes.values())
        overdue += sum(lane.overdue_since is not UNSET for lane in book.lanes.values())
        held.update(
            holds.kind_of(lane.hold_reason)
            for lane in book.lanes.values()
            if lane.state == "held" and lane.hold_reason is not UNSET
        )
        since = [
            lane.active_since
            for lane in book.lanes.values()
            if lane.state == "active" and lane.active_since is not UNSET
        ]
        active_since = min([active_since, *since])
        jobs += len(book.jobs)
    for state in STATES:
        LANES.labels(state).set(states[state])
    for kind, word in KINDS.items():
        HELD.labels(word).set(held[kind])
    OVERDUE.set(overdue)
    OLDEST.set((now - active_since).total_seconds())
    JOBS.set(jobs)
