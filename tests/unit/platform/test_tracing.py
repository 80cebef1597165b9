"""Tracing: off costs and does nothing; on, all services agree without asking, and nobody waits for a collector."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from tests.waiting import wait_until

from imagelane.contracts.codec import Headers, Trace, headers_of
from imagelane.contracts.events import ImageRequested
from imagelane.platform.logs import add_trace
from imagelane.platform.metrics_tracing import SPANS
from imagelane.platform.settings import KafkaSettings, SettingsError
from imagelane.platform.tracing import (
    Done,
    Span,
    TracingSettings,
    TracingSwitch,
    Work,
    open_tracing,
    parent_in,
    told,
)
from imagelane.platform.tracing_sdk import BoundedSpans, SpanExports, sampler_of

KAFKA = KafkaSettings(
    bootstrap_servers="localhost:9092", topic_prefix="test-", allow_plaintext=True
)
JOB = "a" * 32
IMAGE = ImageRequested(
    customer_id="acme",
    job_id=JOB,
    index=7,
    url="https://example.com/a.jpg",
    recipe="default",
    destination="default",
    occurred_at=datetime.now(UTC),
)
ROOT = Work("request image", "producer", "requested", place="anchor")
STEP = Work("download image", "consumer", "requested")
DEADLINE_SECONDS = 30.0


def recording(
    sampler: str = "always_on", ratio: float = 1.0
) -> tuple[SpanExports, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    settings = TracingSettings(traces_sampler=sampler, traces_sampler_arg=ratio)  # type: ignore[arg-type] # any of the six
    return (
        SpanExports(
            Resource({}), SimpleSpanProcessor(exporter), sampler_of(settings), KAFKA.topic_prefix
        ),
        exporter,
    )


def header(traceparent: bytes | None) -> Headers:
    assert traceparent is not None
    return [("ce_id", b"1"), ("traceparent", traceparent)]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
    ],
)
def test_without_being_asked_for_the_sdk_is_not_even_imported(variables: dict[str, str]) -> None:
    program = """
import sys
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.tracing import open_tracing
with open_tracing("intake", KafkaSettings(bootstrap_servers="x:1", allow_plaintext=True)) as tracing:
    assert tracing is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=variables, timeout=60)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "some"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable), open_tracing("intake", KAFKA):
        pass


def test_an_empty_variable_is_none_and_the_traces_own_protocol_comes_before_everybody_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SAMPLER", "SAMPLER_ARG", "EXPORTER"):
        monkeypatch.setenv(f"OTEL_TRACES_{name}", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    assert TracingSettings().traces_sampler_arg == 1.0
    assert not TracingSwitch().is_on


def test_events_that_no_span_is_recorded_of_have_headers_as_ever() -> None:
    (parent,) = (value for name, value in headers_of(IMAGE, source="/x") if name == "traceparent")
    version, trace_id, span_id, flags = parent.decode().split("-")
    assert (version, trace_id, flags) == ("00", Trace.of(IMAGE).trace_id, "00")
    assert len(span_id) == 16
    assert parent_in(headers_of(IMAGE, source="/x")) == []


def test_an_image_s_trace_begins_at_a_span_that_everybody_knows() -> None:
    tracing, exporter = recording()
    first = told(tracing, IMAGE, Done(ROOT))
    second = told(tracing, IMAGE, Done(STEP, header(first), seconds=2.0, code="not_found"))
    far_away = told(tracing, IMAGE, Done(STEP))
    root, child, late = exporter.get_finished_spans()
    trace = Trace.of(IMAGE)
    assert first == tracing.anchor(trace) == f"00-{trace.trace_id}-{trace.anchor}-01".encode()
    assert root.parent is None
    assert child.parent is not None
    assert late.parent is not None
    assert child.parent.span_id == late.parent.span_id == int(trace.anchor, 16)
    assert {second, far_away, first} - {None} == {second, far_away, first}
    assert child.status.status_code is StatusCode.ERROR
    assert child.attributes is not None
    assert child.attributes["error.type"] == "not_found"
    assert child.attributes["messaging.destination.name"] == "test-requested"
    assert child.attributes["imagelane.index"] == 7
    assert child.end_time is not None
    assert child.start_time is not None
    assert child.end_time - child.start_time == 2_000_000_000


@pytest.mark.parametrize(
    ("given", "links"),
    [
        (b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01", 1),
        (b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-00", 0),
        (b"\xff\x00nonsense", 0),
    ],
)
def test_somebody_else_s_trace_is_linked_and_never_joined(given: bytes, links: int) -> None:
    tracing, exporter = recording()
    told(tracing, IMAGE, Done(ROOT, header(given)))
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert span.context is not None
    assert span.context.trace_id == int(Trace.of(IMAGE).trace_id, 16)
    assert len(span.links) == links


def test_every_service_decides_alike_by_the_trace_s_id() -> None:
    traces = [Trace.of_image("acme", JOB, index) for index in range(4_000)]
    one, _ = recording("traceidratio", 0.1)
    other, _ = recording("parentbased_traceidratio", 0.1)
    chosen = [trace for trace in traces if one.samples(trace)]
    assert chosen == [trace for trace in traces if other.samples(trace)]
    assert 300 < len(chosen) < 500
    off, exporter = recording("parentbased_always_off")
    assert told(off, IMAGE, Done(ROOT)) is None
    assert exporter.get_finished_spans() == ()


class Stuck(SpanExporter):
    """A collector that does not answer before it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        self.go_on.wait(DEADLINE_SECONDS)
        return SpanExportResult.FAILURE


def test_what_a_stuck_collector_does_not_take_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    before: dict[str, float] = {
        one: SPANS.labels(one)._value.get() for one in ("exported", "failed", "dropped")
    }

    def counted(what: str) -> float:
        return float(SPANS.labels(what)._value.get()) - before[what]

    exporter = Stuck()
    processor = BoundedSpans(exporter, 20)
    tracing = SpanExports(Resource({}), processor, sampler_of(TracingSettings()), "")
    told(tracing, IMAGE, Done(ROOT))
    wait_until(lambda: exporter.taken)
    began_at = time.monotonic()
    for _ in range(100):
        told(tracing, IMAGE, Done(STEP))
    assert time.monotonic() - began_at < DEADLINE_SECONDS
    assert counted("dropped") == 80
    exporter.go_on.set()
    processor.shutdown()
    assert counted("failed") == 21
    assert counted("exported") == 0


def test_a_span_may_have_ended_a_while_ago() -> None:
    tracing, exporter = recording()
    tracing.record(Span(STEP, Trace.of(IMAGE), {}, seconds=1.0, ago=60.0))
    (span,) = exporter.get_finished_spans()
    assert span.end_time is not None
    assert 59.0 < time.time() - span.end_time / 1e9 < 59.0 + DEADLINE_SECONDS


@pytest.mark.parametrize(
    ("line", "trace"),
    [
        ({"customer_id": "acme", "job_id": JOB, "index": 0}, Trace.of_image("acme", JOB, 0)),
        ({"customer_id": "acme", "job_id": JOB}, Trace.of_job("acme", JOB)),
        ({"customer_id": "acme", "seq": 3}, Trace.of_call("acme", 3)),
        ({"customer_id": "acme"}, None),
        ({"job_id": JOB}, None),
    ],
)
def test_a_line_of_the_log_has_the_trace_of_what_it_is_about(
    line: dict[str, object], trace: Trace | None
) -> None:
    logged = add_trace(None, "info", dict(line))
    assert logged.get("trace_id") == (trace.trace_id if trace else None)
