"""How long sampled images waited for their call, as the batcher tells it in traces."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from imagelane.batcher import spans
from imagelane.batcher.spans import ImageWaits
from imagelane.contracts.codec import Headers, Trace
from imagelane.contracts.events import BatchRequested, ImageProcessed, ImagesSettled, JobFinished
from imagelane.contracts.image_sets import pack
from imagelane.contracts.parts import Failure, ReadyImages, SettledImages
from imagelane.platform.metrics_tracing import SPANS
from imagelane.platform.tracing import Span

ACME, JOB = "acme", "a" * 32
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CAUSE: Headers = [("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]


class Recorded:
    """Keeps what is recorded, and samples everything."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def samples(self, trace: Trace) -> bool:
        return bool(trace.trace_id)

    def anchor(self, trace: Trace) -> bytes:
        return trace.anchor.encode()

    def record(self, span: Span) -> bytes:
        self.spans.append(span)
        return b"the span"


def processed(index: int, code: str = "", job: str = JOB) -> ImageProcessed:
    event = ImageProcessed(
        customer_id=ACME,
        job_id=job,
        index=index,
        url="https://example.com/a.jpg",
        recipe="default",
        destination="default",
        status="ok",
        occurred_at=NOW,
        seconds=0.1,
    )
    if not code:
        return event
    return ImageProcessed(
        **{name: getattr(event, name) for name in event.__struct_fields__ if name != "failure"},
        failure=Failure(code=code, reason="for a test"),
    )


def asked(images: Iterable[int]) -> BatchRequested:
    ready = ReadyImages(job_id=JOB, recipe="default", destination="default", images=pack(images))
    return BatchRequested(customer_id=ACME, seq=3, jobs=[ready], occurred_at=NOW)


def waits() -> tuple[ImageWaits, Recorded]:
    tracing = Recorded()
    return ImageWaits(tracing), tracing


def test_an_image_s_wait_ends_with_the_request_of_its_call_and_is_linked_to_it() -> None:
    waiting, tracing = waits()
    for index in (1, 2, 3):
        waiting.fold(processed(index), CAUSE)
    call = Trace.of_call(ACME, 3)
    assert waiting.send(asked([1, 3, 9])) == call.anchor.encode()
    assert [one.trace for one in tracing.spans] == [Trace.of_image(ACME, JOB, n) for n in (1, 3)]
    assert {(one.work.name, tuple(one.links), one.code) for one in tracing.spans} == {
        ("gather image", (call,), "")
    }
    assert all(one.cause == CAUSE for one in tracing.spans)
    waiting.send(asked([1, 3, 9]))  # the same request, sent again
    assert len(tracing.spans) == 2


def test_a_failed_image_s_wait_ends_with_its_code() -> None:
    waiting, tracing = waits()
    waiting.fold(processed(4, "not_found"), CAUSE)
    settled = SettledImages(job_id=JOB, failed=pack([4]))
    assert waiting.send(ImagesSettled(customer_id=ACME, jobs=[settled], occurred_at=NOW)) is None
    (span,) = tracing.spans
    assert (span.work.name, span.code) == ("settle image", "not_found")


def test_the_end_of_a_job_is_told_in_its_own_trace_and_forgets_its_images() -> None:
    waiting, tracing = waits()
    waiting.fold(processed(1), CAUSE)
    finished = JobFinished(
        customer_id=ACME,
        job_id=JOB,
        images=1,
        delivered=1,
        failed=0,
        cancelled=0,
        occurred_at=NOW,
    )
    assert waiting.send(finished) == b"the span"
    waiting.send(asked([1]))
    (span,) = tracing.spans
    assert span.trace == Trace.of_job(ACME, JOB)
    assert span.attributes["imagelane.delivered"] == 1


def test_no_more_images_are_remembered_than_the_bound_and_the_oldest_job_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spans, "MAX_WAITING", 3)
    before = SPANS.labels("dropped")._value.get()
    waiting, tracing = waits()
    for index in (1, 2):
        waiting.fold(processed(index, job="b" * 32), CAUSE)
    for index in (1, 2):
        waiting.fold(processed(index), CAUSE)
    waiting.send(asked([1, 2]))
    assert len(tracing.spans) == 2
    assert SPANS.labels("dropped")._value.get() - before == 2


def test_nothing_is_remembered_of_partitions_that_have_left() -> None:
    waiting, tracing = waits()
    waiting.fold(processed(1), CAUSE)
    waiting.clear()
    waiting.send(asked([1]))
    assert tracing.spans == []
