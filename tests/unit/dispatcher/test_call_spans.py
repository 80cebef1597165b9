"""A call's span and its images': one from plan to completion, linked both ways, within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import pytest
from tests.unit.dispatcher.conftest import ACME, JOB, NOW, draft, planned, release

from imagelane.contracts.codec import Trace
from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.spans import MAX_LINKS, CallSpans, ended_calls, spans_of
from imagelane.platform.tracing import Span

IMAGES = 300
DEADLINE_SECONDS = 30.0


@dataclass
class Recorded:
    """Keeps what is recorded. Samples every trace but those of the images in `unsampled`."""

    unsampled: frozenset[str] = frozenset()
    spans: list[Span] = field(default_factory=list)

    def samples(self, trace: Trace) -> bool:
        return trace.trace_id not in self.unsampled

    def anchor(self, trace: Trace) -> bytes:
        return f"00-{trace.trace_id}-{trace.anchor}-01".encode()

    def record(self, span: Span) -> bytes:
        self.spans.append(span)
        return self.anchor(span.trace)

    def named(self, name: str) -> list[Span]:
        return [one for one in self.spans if one.work.name == name]


def image(index: int) -> Trace:
    return Trace.of_image(ACME, JOB, index)


def held() -> LaneRecorded:
    lane = lanes.plan(lanes.unheard_of(ACME, NOW), planned(range(IMAGES)), NOW)
    return lanes.hold(lanes.attempt(lane, NOW, in_doubt=True), "for a test", NOW)


def ended(decision: Literal["treat_as_done", "treat_as_failed"], tracing: Recorded) -> list[Span]:
    made = draft(Book(lanes={ACME: held()}))
    made.now = NOW + timedelta(seconds=90)
    made.release(release(decision))
    (call,) = ended_calls(made)
    deque(spans_of(call, tracing), maxlen=0)
    return tracing.spans


def test_a_call_is_one_span_with_its_plan_s_time_and_a_bounded_number_of_links() -> None:
    tracing = Recorded()
    ended("treat_as_done", tracing)
    (call,) = tracing.named("call batch API")
    assert call.trace == Trace.of_call(ACME, 1)
    assert call.work.place == "anchor"
    assert call.seconds == 90.0
    assert len(call.links) == MAX_LINKS < IMAGES
    assert call.attributes["messaging.batch.message_count"] == IMAGES
    assert call.attributes["imagelane.linked_images"] == MAX_LINKS
    assert call.attributes["imagelane.delivered"] == IMAGES
    assert not call.code


@pytest.mark.parametrize(
    ("decision", "outcome", "code"),
    [("treat_as_done", "delivered", ""), ("treat_as_failed", "failed", "call_failed")],
)
def test_each_of_its_images_has_its_end_and_a_link_to_it(
    decision: Literal["treat_as_done", "treat_as_failed"], outcome: str, code: str
) -> None:
    tracing = Recorded()
    ended(decision, tracing)
    told = tracing.named("deliver image")
    assert [one.trace for one in told] == [image(index) for index in range(IMAGES)]
    assert {one.code for one in told} == {code}
    assert {one.attributes["imagelane.outcome"] for one in told} == {outcome}
    assert {tuple(one.links) for one in told} == {(Trace.of_call(ACME, 1),)}


def test_only_sampled_images_are_linked_and_told() -> None:
    unsampled = frozenset(image(index).trace_id for index in range(IMAGES) if index % 100)
    tracing = Recorded(unsampled)
    ended("treat_as_done", tracing)
    (call,) = tracing.named("call batch API")
    assert list(call.links) == [image(0), image(100), image(200)]
    assert [one.trace for one in tracing.named("deliver image")] == list(call.links)


def test_a_call_without_a_sampled_image_whose_own_trace_is_not_sampled_is_not_told() -> None:
    traces = [*map(image, range(IMAGES)), Trace.of_call(ACME, 1)]
    assert ended("treat_as_done", Recorded(frozenset(one.trace_id for one in traces))) == []


def test_what_ends_no_call_is_no_span() -> None:
    made = draft(Book(lanes={ACME: held()}))
    made.lanes[ACME] = held()
    spans = CallSpans(Recorded())
    spans.add(made)
    assert not spans.waiting


async def test_calls_are_told_bit_by_bit_and_a_little_more_at_the_end() -> None:
    made = draft(Book(lanes={ACME: held()}))
    made.release(release("treat_as_done"))
    tracing = Recorded()
    spans = CallSpans(tracing)
    spans.add(made)
    telling = asyncio.create_task(spans.run())
    for _ in range(round(DEADLINE_SECONDS / 0.01)):
        if len(tracing.named("deliver image")) == IMAGES:
            break
        await asyncio.sleep(0.01)
    spans.add(made)
    spans.add(made)
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    assert len(tracing.named("call batch API")) == 3
    assert len(tracing.named("deliver image")) == 3 * IMAGES
    assert not spans.waiting
