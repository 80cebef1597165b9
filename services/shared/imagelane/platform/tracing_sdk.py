"""Spans by the OpenTelemetry SDK, on their way over OTLP/HTTP. Imported only when traces are wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from imagelane.contracts.codec import Headers, Trace
from imagelane.platform.metrics_tracing import SPANS
from imagelane.platform.settings import KafkaSettings, SettingsError
from imagelane.platform.tracing import TRACEPARENT, Span, TracingSettings, Value, Work, drop

CLOSING_SECONDS: Final = 2.0
"""For the last spans: a collector that hangs must not hold up the end of a service."""
NANOSECONDS: Final = 1_000_000_000
SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
KINDS: Final = {kind.name.lower(): kind for kind in SpanKind}
OPERATIONS: Final = {"producer": "send", "consumer": "process"}

_given: ContextVar[tuple[int, int | None]] = ContextVar("given")
_propagator: Final = TraceContextTextMapPropagator()


class SpanExports:
    """Records spans and hands them to a processor."""

    def __init__(
        self, resource: Resource, processor: SpanProcessor, sampler: Sampler, topic_prefix: str
    ) -> None:
        provider = TracerProvider(
            sampler=ALWAYS_ON,  # `samples` was asked before
            resource=resource,
            shutdown_on_exit=False,
            id_generator=_GivenIds(),
        )
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("imagelane")
        self._sampler = sampler
        self._topic_prefix = topic_prefix

    def samples(self, trace: Trace) -> bool:
        """See `Tracing.samples`."""
        decided = self._sampler.should_sample(None, int(trace.trace_id, 16), "")
        return decided.decision is Decision.RECORD_AND_SAMPLE

    def anchor(self, trace: Trace) -> bytes:
        """See `Tracing.anchor`."""
        return _header(_anchor(trace))

    def record(self, span: Span) -> bytes:
        """See `Tracing.record`."""
        work, anchor = span.work, _anchor(span.trace)
        causing = _span_in(span.cause or [])
        links = [_anchor(one) for one in span.links]
        parent = anchor if work.place == "step" else None
        if causing is not None and causing.trace_id == anchor.trace_id:
            parent = causing
        elif causing is not None:
            links.append(causing)
        ended_at = time.time_ns() - round(span.ago * NANOSECONDS)
        given = _given.set((anchor.trace_id, anchor.span_id if work.place == "anchor" else None))
        try:
            recording = self._tracer.start_span(
                work.name,
                _context(parent),
                kind=KINDS[work.kind],
                attributes={**self._messaging(work), **span.attributes},
                links=[Link(one) for one in links],
                start_time=ended_at - round(max(span.seconds, 0.0) * NANOSECONDS),
            )
        finally:
            _given.reset(given)
        if span.code:
            recording.set_attribute("error.type", span.code)
            recording.set_status(Status(StatusCode.ERROR, span.code))
        recording.end(ended_at)
        return _header(recording.get_span_context())

    def _messaging(self, work: Work) -> dict[str, Value]:
        operation = OPERATIONS.get(work.kind)
        if operation is None:
            return {}
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": self._topic_prefix + work.topic,
        }


class _GivenIds(RandomIdGenerator):
    """The ids that `SpanExports.record` wants; span ids at random where it wants none."""

    def generate_trace_id(self) -> int:
        return _given.get()[0]

    def generate_span_id(self) -> int:
        return _given.get()[1] or super().generate_span_id()

    def is_trace_id_random(self) -> bool:
        return False


class _CountingExporter(SpanExporter):
    """Counts what the collector took and what it did not. `waiting` are spans in the queue before it."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lock = threading.Lock()
        self.waiting = 0

    def enters(self, most: int) -> bool:
        """Whether one more may wait."""
        with self._lock:
            if self.waiting >= most:
                return False
            self.waiting += 1
            return True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self.waiting -= len(spans)
        result = self._exporter.export(spans)
        taken = result is SpanExportResult.SUCCESS
        SPANS.labels("exported" if taken else "failed").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class BoundedSpans(SpanProcessor):
    """The SDK's batches behind a bound of our own, since the SDK does not count what it drops."""

    def __init__(self, exporter: SpanExporter, max_waiting: int) -> None:
        """Raises `ValueError` if the standard variables contradict each other."""
        self._exporter = _CountingExporter(exporter)
        self._max_waiting = max_waiting
        self._batches = BatchSpanProcessor(self._exporter, max_queue_size=max_waiting)

    def on_end(self, span: ReadableSpan) -> None:
        """Queues the span, or drops and counts it."""
        if self._exporter.enters(self._max_waiting):
            self._batches.on_end(span)
        else:
            drop(1)

    def shutdown(self) -> None:
        """Exports what waits, then ends."""
        self._batches.shutdown()  # type: ignore[no-untyped-call] # the SDK's own lack


@contextmanager
def exporting(
    service: str, kafka: KafkaSettings, settings: TracingSettings
) -> Iterator[SpanExports]:
    """Exports spans inside the block, and at its end what it can within two seconds."""
    own = Resource.create({"service.name": service, "service.namespace": "imagelane"})
    try:
        processor = BoundedSpans(OTLPSpanExporter(), settings.bsp_max_queue_size)
    except ValueError as error:
        raise SettingsError(f"OTEL_BSP_… or OTEL_EXPORTER_OTLP_…: {error}") from error
    try:
        yield SpanExports(
            own.merge(OTELResourceDetector().detect()),
            processor,
            sampler_of(settings),
            kafka.topic_prefix,
        )
    finally:
        closing = threading.Thread(target=processor.shutdown, name="last-spans", daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)


def sampler_of(settings: TracingSettings) -> Sampler:
    """Decides by the trace's id. All parts of a trace have it, so `parentbased_` makes no difference."""
    match settings.traces_sampler.removeprefix("parentbased_"):
        case "always_on":
            return ALWAYS_ON
        case "always_off":
            return ALWAYS_OFF
        case _:
            return TraceIdRatioBased(settings.traces_sampler_arg)


def _anchor(trace: Trace) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16), int(trace.anchor, 16), is_remote=True, trace_flags=SAMPLED
    )


def _span_in(headers: Headers) -> SpanContext | None:
    for name, value in headers:
        if name == TRACEPARENT and value:
            carrier = {TRACEPARENT: value.decode("ascii", "replace")}
            span = get_current_span(_propagator.extract(carrier, Context())).get_span_context()
            return span if span.is_valid and span.trace_flags.sampled else None
    return None


def _context(parent: SpanContext | None) -> Context:
    return Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())


def _header(span: SpanContext) -> bytes:
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & SAMPLED:02x}".encode()
