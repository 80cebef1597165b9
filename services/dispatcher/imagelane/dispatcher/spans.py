"""What the dispatcher tells of in traces: every call, and the end of each of its images.

A call's span is recorded when the call has ended, with the times of its plan, which is in the log: so it
is one span from plan to completion, whatever was restarted in between. Only a process that dies between
writing a call's end and exporting its spans takes them along: nothing of a trace is ever written down.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from itertools import islice
from typing import Final

from msgspec import UNSET
from pyroaring import BitMap

from imagelane.contracts.codec import Trace
from imagelane.contracts.events import CallCompleted, LaneRecorded
from imagelane.contracts.parts import CallPlan
from imagelane.contracts.topics import BATCHES, COMPLETED
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.plan import images_of
from imagelane.platform.tracing import Done, Span, Tracing, Value, Work, drop

MAX_LINKS: Final = 128
"""Of a call to its images. The SDK keeps no more unless OTEL_SPAN_LINK_COUNT_LIMIT is raised in every
part that reads spans, and 100,000 of them would be a span of 3 MB that collectors refuse. Failed images
are linked first; nothing is lost, since each image's own last span is linked to the call."""
MAX_ENDED: Final = 1_000
"""Calls whose spans are still to be told."""
IMAGES_AT_ONCE: Final = 256
LAST_IMAGES: Final = 2_000
PAUSE_SECONDS: Final = 0.02
"""A call of 100,000 images ends at once; its spans must hold up neither this loop nor their own queue."""

CALL: Final = Work("call batch API", "client", BATCHES, place="anchor")
DELIVER: Final = Work("deliver image", "consumer", BATCHES)
ANSWER: Final = Done(Work("answer batcher", "producer", COMPLETED))


class Outcome(Enum):
    """Of an image in a call, in the order in which they are told. `RETURNED` is not the image's end."""

    FAILED = auto()
    DELIVERED = auto()
    RETURNED = auto()


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call with its lane as it was before the end, and what became of its images, by job."""

    customer_id: str
    plan: CallPlan
    lane: LaneRecorded
    status: str
    ended_at: datetime
    outcomes: dict[str, dict[Outcome, BitMap]]

    @property
    def seconds(self) -> float:
        """From plan to completion."""
        return (self.ended_at - self.plan.planned_at).total_seconds()


def ended_calls(draft: Draft) -> Iterator[EndedCall]:
    """The calls that end with this draft. To be asked before it is applied."""
    for customer_id, lane in draft.lanes.items():
        before = draft.book.lanes.get(customer_id)
        if before is None or before.plan is UNSET or lane.plan is not UNSET:
            continue
        outcomes = {}
        for job_id, images in images_of(before.plan.jobs).items():
            after = draft.outcomes(customer_id, job_id)
            outcomes[job_id] = {
                Outcome.FAILED: images & after.failed,
                Outcome.DELIVERED: images & after.delivered,
                Outcome.RETURNED: images - after.decided,
            }
        status = _status(draft, customer_id, before.plan.seq)
        yield EndedCall(customer_id, before.plan, before, status, lane.occurred_at, outcomes)


def _status(draft: Draft, customer_id: str, seq: int) -> str:
    """As the batcher is told, or `refused` if it is told nothing of a call."""
    for one in draft.told:
        if isinstance(one, CallCompleted) and (one.customer_id, one.seq) == (customer_id, seq):
            return one.status
    return "refused"


@dataclass(slots=True)
class CallSpans:
    """Tells ended calls bit by bit. `add` is for the Kafka thread, `run` for the event loop."""

    tracing: Tracing
    waiting: deque[EndedCall] = field(default_factory=deque)

    def add(self, draft: Draft) -> None:
        """Takes note of what ends with this draft; to be called before it is applied."""
        for call in ended_calls(draft):
            if len(self.waiting) < MAX_ENDED:
                self.waiting.append(call)
            else:
                drop(call.plan.images)

    async def run(self) -> None:
        """Until it is cancelled; then it tells a little more at once."""
        steps: Iterator[None] = iter(())
        try:
            while True:
                await asyncio.sleep(PAUSE_SECONDS)
                steps = self._tell(steps, IMAGES_AT_ONCE)
        finally:
            self._tell(steps, LAST_IMAGES)

    def _tell(self, steps: Iterator[None], room: int) -> Iterator[None]:
        """Takes so many steps, each call being one more; gives what is left of the call that it is at."""
        while True:
            room -= sum(1 for _ in islice(steps, room)) + 1
            if room <= 0 or not self.waiting:
                return steps
            steps = spans_of(self.waiting.popleft(), self.tracing)


def spans_of(call: EndedCall, tracing: Tracing) -> Iterator[None]:
    """Records the call's span, then its images'; a step for each image that is looked at."""
    links: list[Trace] = []
    for job_id, index, _outcome in _images(call):
        yield
        image = Trace.of_image(call.customer_id, job_id, index)
        if tracing.samples(image):
            links.append(image)
            if len(links) == MAX_LINKS:
                break
    trace = Trace.of_call(call.customer_id, call.plan.seq)
    if not links and not tracing.samples(trace):
        return
    tracing.record(_call_span(call, trace, links))
    for job_id, index, outcome in _images(call):
        yield
        image = Trace.of_image(call.customer_id, job_id, index)
        if outcome is not Outcome.RETURNED and tracing.samples(image):
            tracing.record(_image_span(call, image, job_id, index, outcome))


def traceparent_of(tracing: Tracing, customer_id: str, plan: CallPlan) -> str:
    """The call's own span, for the API's to hang on, and whether it will be recorded; the same for every attempt.

    Looks at the images until one is sampled, so it is for a thread.
    """
    call = Trace.of_call(customer_id, plan.seq)
    is_told = tracing.samples(call) or any(
        tracing.samples(Trace.of_image(customer_id, job_id, index))
        for job_id, images in images_of(plan.jobs).items()
        for index in images
    )
    return f"00-{call.trace_id}-{call.anchor}-{is_told:02x}"


def _images(call: EndedCall) -> Iterator[tuple[str, int, Outcome]]:
    """Every image of the call, the failed ones first."""
    for outcome in Outcome:
        for job_id, outcomes in call.outcomes.items():
            for index in outcomes[outcome]:
                yield job_id, index, outcome


def _call_span(call: EndedCall, trace: Trace, links: list[Trace]) -> Span:
    lane = call.lane
    counts = {
        f"imagelane.{outcome.name.lower()}": sum(
            len(one[outcome]) for one in call.outcomes.values()
        )
        for outcome in Outcome
    }
    attributes: dict[str, Value] = {
        "imagelane.customer_id": call.customer_id,
        "imagelane.seq": lane.last_seq,
        "imagelane.status": call.status,
        "imagelane.attempts": lane.attempts,
        "imagelane.reference": call.plan.reference,
        "messaging.batch.message_count": call.plan.images,
        "imagelane.linked_images": len(links),
        **counts,
    }
    if lane.call_id is not UNSET:
        attributes["imagelane.call_id"] = lane.call_id
    code = "" if call.status == "completed" else f"call_{call.status}"
    return Span(
        CALL, trace, attributes, seconds=call.seconds, ago=_ago(call), links=links, code=code
    )


def _image_span(call: EndedCall, image: Trace, job_id: str, index: int, outcome: Outcome) -> Span:
    attributes: dict[str, Value] = {
        "imagelane.customer_id": call.customer_id,
        "imagelane.job_id": job_id,
        "imagelane.index": index,
        "imagelane.seq": call.plan.seq,
        "imagelane.outcome": outcome.name.lower(),
    }
    code = f"call_{call.status}" if outcome is Outcome.FAILED else ""
    links = [Trace.of_call(call.customer_id, call.plan.seq)]
    return Span(
        DELIVER, image, attributes, seconds=call.seconds, ago=_ago(call), links=links, code=code
    )


def _ago(call: EndedCall) -> float:
    return (datetime.now(UTC) - call.ended_at).total_seconds()
