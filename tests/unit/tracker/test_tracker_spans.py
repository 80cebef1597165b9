"""A batch is one span however many images it is about, linked to its jobs and calls; a job's end is one of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from imagelane.contracts.codec import Trace, encode
from imagelane.contracts.events import Event, ImageRequested, JobFinished
from imagelane.contracts.topics import TOPIC_OF
from imagelane.platform.records import Record
from imagelane.platform.tracing_sdk import SpanExports
from imagelane.tracker.core.changes import Changes
from imagelane.tracker.core.taking import take
from imagelane.tracker.spans import MAX_LINKS, BatchSpans

IMAGES = 1_000


def job_id(number: int) -> str:
    return chr(ord("a") + number % 26) + chr(ord("a") + number // 26) * 31


def requested(job: str, index: int) -> ImageRequested:
    return ImageRequested(
        customer_id="acme",
        job_id=job,
        index=index,
        url="https://example.com/a.jpg",
        recipe="default",
        destination="default",
        occurred_at=datetime.now(UTC),
    )


def finished(job: str, ago: timedelta) -> JobFinished:
    return JobFinished(
        customer_id="acme",
        job_id=job,
        images=IMAGES,
        delivered=IMAGES,
        failed=0,
        cancelled=0,
        occurred_at=datetime.now(UTC) - ago,
    )


def spans_of(*events: Event, sampler: Sampler = ALWAYS_ON) -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()
    tracing = SpanExports(Resource({}), SimpleSpanProcessor(exporter), sampler, "")
    changes = Changes()
    for offset, event in enumerate(events):
        record = Record(TOPIC_OF[type(event)], 0, offset, b"acme", encode(event), [], 0)
        assert take(changes, record) is None
    BatchSpans(tracing, database="postgresql").written(
        changes,
        records=len(events),
        behind=7,
        seconds=0.5,
        now_ms=time.time_ns() // 1_000_000,
    )
    return exporter.get_finished_spans()


def test_a_thousand_images_of_a_job_are_one_span_with_one_link() -> None:
    job = job_id(0)
    (span,) = spans_of(*(requested(job, index) for index in range(IMAGES)))
    told = dict(span.attributes or {})
    assert (span.name, told["db.system.name"]) == ("write records", "postgresql")
    assert told["messaging.batch.message_count"] == told["imagelane.images"] == IMAGES
    assert (told["imagelane.jobs"], told["imagelane.behind"]) == (1, 7)
    (link,) = span.links
    assert link.context.trace_id == int(Trace.of_job("acme", job).trace_id, 16)


def test_many_jobs_are_no_more_links_than_a_store_keeps() -> None:
    (span,) = spans_of(*(requested(job_id(number), 0) for number in range(MAX_LINKS + 1)))
    assert len(span.links) == MAX_LINKS


@pytest.mark.parametrize(("ago", "spans"), [(timedelta(seconds=20), 2), (timedelta(days=20), 1)])
def test_the_end_of_a_job_is_told_in_its_own_trace_unless_it_is_read_again_after_long(
    ago: timedelta, spans: int
) -> None:
    batch, *shown = spans_of(finished(job_id(0), ago))
    assert 1 + len(shown) == spans
    for span in shown:
        trace = Trace.of_job("acme", job_id(0))
        assert span.context is not None
        assert span.context.trace_id == int(trace.trace_id, 16)
        assert span.parent is not None
        assert span.parent.span_id == int(trace.anchor, 16)
        assert span.end_time is not None
        assert span.start_time is not None
        assert 19.9 < (span.end_time - span.start_time) / 1e9 < 60
        assert [link.context.span_id for link in span.links] == [batch.context.span_id]


def test_nothing_is_told_of_what_is_not_sampled() -> None:
    assert not spans_of(finished(job_id(0), timedelta()), sampler=ALWAYS_OFF)
