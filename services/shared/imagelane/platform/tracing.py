"""OpenTelemetry traces: one for every image, through all services. Off unless the standard variables ask.

A trace's id follows from the identity of what it is about (`contracts.codec.Trace`), and so does the id of
one span in it, the anchor. So every service knows both without having been told, also after a restart:
whoever ends an image thousands of images later, in one call with them, hangs its span there.

While it is off there is no `Tracing`: the SDK is not imported, nothing is connected, and events have the
same bytes and headers as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagelane.contracts.codec import Headers, Trace
from imagelane.contracts.events import Event
from imagelane.platform.metrics_tracing import SPANS
from imagelane.platform.settings import KafkaSettings, SettingsError

PREFIX: Final = "OTEL_"
TRACEPARENT: Final = "traceparent"
SPOKEN: Final = "http/protobuf"
STANDARD: Final = SettingsConfigDict(
    env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
)
Value = str | int | float | bool
Attributes = Mapping[str, Value]


class TracingSwitch(BaseSettings):
    """Whether there are traces at all. Unlike the specification's, our default is none."""

    model_config = STANDARD

    sdk_disabled: bool = False
    traces_exporter: Literal["none", "otlp"] = "none"

    @property
    def is_on(self) -> bool:
        """Whether traces are wanted."""
        return self.traces_exporter == "otlp" and not self.sdk_disabled


class TracingSettings(BaseSettings):
    """The standard variables that we have to understand ourselves; the SDK reads the others."""

    model_config = STANDARD

    exporter_otlp_traces_protocol: Literal["http/protobuf"] | None = None
    exporter_otlp_protocol: str = Field(default=SPOKEN, validate_default=True)
    traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = "parentbased_always_on"
    traces_sampler_arg: float = Field(default=1.0, ge=0.0, le=1.0)
    bsp_max_queue_size: int = Field(default=2_048, ge=1)

    @field_validator("exporter_otlp_protocol")
    @classmethod
    def _is_spoken(cls, value: str, info: ValidationInfo) -> str:
        if value != SPOKEN and info.data.get("exporter_otlp_traces_protocol") is None:
            raise ValueError(f"{value!r} is not spoken here, only {SPOKEN!r} is")
        return value


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of span: what was done, and by producer and consumer, with which topic.

    An `anchor` is the one that its trace hangs on, and begins it unless its cause does; a `root` begins
    it before the anchor; a `step` hangs on its cause, or on the anchor.
    """

    name: str
    kind: Literal["producer", "consumer", "client", "internal"]
    topic: str = ""
    place: Literal["anchor", "root", "step"] = "step"
    describe: Callable[[Any], Attributes] = lambda _event: {}
    """What else is told of the event that the work ends with. Asked, as `links`, only when sampled."""
    links: Callable[[Any], Sequence[Trace]] = lambda _event: ()


@dataclass(frozen=True, slots=True)
class Span:
    """One span. It took `seconds`, and ended `ago` seconds before now.

    The span in the headers of `cause` is its parent if that is of the same trace, else it is linked to it,
    as it is to the anchors of `links`. A `code` makes it an error.
    """

    work: Work
    trace: Trace
    attributes: Attributes
    seconds: float = 0.0
    ago: float = 0.0
    cause: Headers | None = None
    links: Sequence[Trace] = ()
    code: str = ""


class Tracing(Protocol):
    """Records spans. Never waits, never raises: what cannot be exported is dropped and counted."""

    def samples(self, trace: Trace) -> bool:
        """Whether spans of this trace are recorded: by its id alone, so all services agree unasked."""
        ...

    def anchor(self, trace: Trace) -> bytes:
        """The `traceparent` of the trace's anchor."""
        ...

    def record(self, span: Span) -> bytes:
        """Records the span, whatever `samples` says; its `traceparent`."""
        ...


class Done(NamedTuple):
    """What was done before an event is sent: the work, the record it came from, how long it took."""

    work: Work
    cause: Headers | None = None
    seconds: float = 0.0
    code: str = ""


def told(tracing: Tracing, event: Event, done: Done) -> bytes | None:
    """Records what was done, if the event's trace is sampled; the `traceparent` for its headers."""
    trace, work = Trace.of(event), done.work
    if not tracing.samples(trace):
        return None
    span = Span(
        work,
        trace,
        {**named(event), **work.describe(event)},
        seconds=done.seconds,
        cause=done.cause,
        links=[one for one in work.links(event) if tracing.samples(one)],
        code=done.code,
    )
    return tracing.record(span)


def named(event: Event) -> dict[str, Value]:
    """Whom and what an event is about, as attributes."""
    names = ("customer_id", "job_id", "index", "seq")
    found = {name: getattr(event, name, None) for name in names}
    return {f"imagelane.{name}": value for name, value in found.items() if value is not None}


def server_of(url: str) -> dict[str, Value]:
    """Of a stranger's URL only scheme and server: paths and queries hold secrets and signatures."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL at all: whoever was to use it says so
        return {}
    return {"url.scheme": parts.scheme, "server.address": parts.hostname} if parts.hostname else {}


def drop(spans: int) -> None:
    """Counts spans that will not be recorded, though they are sampled."""
    SPANS.labels("dropped").inc(spans)


def parent_in(headers: Headers) -> Headers:
    """Of a record's headers only `traceparent`, if its span was recorded: small enough to be kept."""
    for name, value in headers:
        if name == TRACEPARENT and value:
            return [] if value.endswith(b"-00") else [(name, value)]
    return []


@contextmanager
def open_tracing(service: str, kafka: KafkaSettings) -> Iterator[Tracing | None]:
    """Traces inside the block, or None. Raises `SettingsError` that names every wrong variable."""
    if not _load(TracingSwitch).is_on:
        yield None
        return
    from imagelane.platform.tracing_sdk import exporting  # noqa: PLC0415 - off costs nothing

    with exporting(service, kafka, _load(TracingSettings)) as tracing:
        yield tracing


S = TypeVar("S", TracingSwitch, TracingSettings)


def _load(settings: type[S]) -> S:
    try:
        return settings()
    except ValidationError as error:
        wrong = [
            f"  {PREFIX}{str(one['loc'][0]).upper()}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        ]
        raise SettingsError("settings are missing or wrong:\n" + "\n".join(wrong)) from None
