"""A submission over HTTP begins its job's trace, and is linked to the submitter's own."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp.test_utils import make_mocked_request
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from imagelane.contracts.codec import Trace
from imagelane.contracts.events import JobAccepted, ListSubmitted
from imagelane.gateway.core.submission import Submission
from imagelane.gateway.spans import cause_of, submitted
from imagelane.intake.spans import ACCEPT
from imagelane.platform.tracing import Done, told
from imagelane.platform.tracing_sdk import SpanExports

JOB = "a" * 32
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
THEIRS = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
SUBMISSION = Submission(
    job_id=JOB,
    idempotency_key="order-7",
    event=ListSubmitted(customer_id="acme", list_url="https://example.com/list.csv"),
    submitted_at=NOW,
)
ACCEPTED = JobAccepted(
    customer_id="acme", job_id=JOB, recipe="default", destination="default", occurred_at=NOW
)


def test_the_submission_is_the_root_and_intake_s_decision_its_child() -> None:
    exporter = InMemorySpanExporter()
    tracing = SpanExports(Resource({}), SimpleSpanProcessor(exporter), ALWAYS_ON, "")
    cause = cause_of(make_mocked_request("POST", "/v1/jobs", headers={"traceparent": THEIRS}))
    traceparent = submitted(tracing, SUBMISSION, cause)
    headers = SUBMISSION.headers(source="/services/gateway", traceparent=traceparent)
    told(tracing, ACCEPTED, Done(ACCEPT, headers))
    submit, accept = exporter.get_finished_spans()
    assert submit.parent is None
    assert [f"{link.context.trace_id:032x}" for link in submit.links] == ["1" * 32]
    assert accept.parent is not None
    assert submit.context is not None
    assert accept.context is not None
    assert accept.parent.span_id == submit.context.span_id
    assert f"{accept.context.span_id:016x}" == Trace.of_job("acme", JOB).anchor
    assert accept.context.trace_id == submit.context.trace_id


def test_without_sampling_the_record_has_its_job_s_trace_all_the_same() -> None:
    exporter = InMemorySpanExporter()
    tracing = SpanExports(Resource({}), SimpleSpanProcessor(exporter), ALWAYS_OFF, "")
    traceparent = submitted(tracing, SUBMISSION, [])
    headers = dict(SUBMISSION.headers(source="/services/gateway", traceparent=traceparent))
    assert traceparent is None
    assert headers["traceparent"].decode().split("-")[1] == Trace.of_job("acme", JOB).trace_id
    assert exporter.get_finished_spans() == ()
