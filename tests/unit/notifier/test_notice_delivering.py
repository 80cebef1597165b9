"""The shell around lanes and schedule: what is written, and what a lost partition means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind
from tests.unit.notifier.test_notice_attempts import notice
from tests.waiting import eventually

from imagelane.contracts.codec import Trace
from imagelane.contracts.notices import NoticeRecorded, notice_key
from imagelane.notifier.core.attempts import Attempt, Schedule, attempt_of
from imagelane.notifier.core.lanes import Lanes
from imagelane.notifier.delivering import Delivering
from imagelane.platform.tracing import Tracing
from imagelane.platform.tracing_sdk import SpanExports


@dataclass
class Receiver:
    """Answers when it is told to."""

    answers: asyncio.Queue[Attempt] = field(default_factory=asyncio.Queue)
    posted: int = 0

    def host_of(self, _url: str) -> str:
        return "shop.example"

    async def post(self, _notice: NoticeRecorded) -> Attempt:
        self.posted += 1
        return await self.answers.get()


@dataclass
class Written:
    """The topic."""

    records: list[NoticeRecorded] = field(default_factory=list)

    def send(self, told: NoticeRecorded) -> asyncio.Future[None]:
        self.records.append(told)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@asynccontextmanager
async def delivering(
    receiver: Receiver, written: Written, tracing: Tracing | None = None
) -> AsyncIterator[Delivering]:
    lanes = Lanes(total=10, per_host=2, per_customer=10)
    one = Delivering(lanes, Schedule((0.01,) * 5, 0, 1), receiver, written, tracing)
    running = asyncio.create_task(one.run())
    yield one
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def until_posted(receiver: Receiver) -> None:
    await eventually(lambda: receiver.posted == 1)


async def test_what_fails_is_posted_again_and_each_attempt_is_written() -> None:
    receiver, written = Receiver(), Written()
    async with delivering(receiver, written) as one:
        await one.put(notice(), partition=0)
        for attempt in (Attempt("5xx"), Attempt("timeout"), Attempt("2xx")):
            receiver.answers.put_nowait(attempt)
        await eventually(lambda: one.pending(notice_key(notice())) is None)
    told = [(record.state, record.attempts, record.last_result) for record in written.records]
    assert told == [("pending", 1, "5xx"), ("pending", 2, "timeout"), ("delivered", 3, "2xx")]


async def test_a_lost_partitions_attempt_is_written_only_if_it_is_the_end() -> None:
    for attempt, states in ((Attempt("5xx"), []), (Attempt("2xx"), ["delivered"])):
        receiver, written = Receiver(), Written()
        async with delivering(receiver, written) as one:
            await one.put(notice(), partition=3)
            await until_posted(receiver)
            one.drop_partition(3)
            receiver.answers.put_nowait(attempt)
            await one.close(drain_seconds=20)
        assert [record.state for record in written.records] == states
        assert receiver.posted == 1


async def test_a_stop_waits_for_attempts_under_way_and_begins_no_more() -> None:
    receiver, written = Receiver(), Written()
    async with delivering(receiver, written) as one:
        await one.put(notice(), partition=0)
        await until_posted(receiver)
        closing = asyncio.create_task(one.close(drain_seconds=20))
        await asyncio.sleep(0)
        receiver.answers.put_nowait(Attempt("5xx"))
        await closing
        await asyncio.sleep(0.05)  # the next attempt would be due
        assert receiver.posted == 1
        assert [record.attempts for record in written.records] == [1]


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF])
async def test_each_attempt_is_a_span_of_its_job_s_trace_without_the_url_s_secrets(
    sampler: Sampler,
) -> None:
    exporter = InMemorySpanExporter()
    tracing = SpanExports(Resource({}), SimpleSpanProcessor(exporter), sampler, "")
    receiver, written = Receiver(), Written()
    async with delivering(receiver, written, tracing) as one:
        url = "https://shop.example:8443/hooks/T0P-SECRET?sig=T0P-SECRET"
        await one.put(replace(notice(), notify_url=url), partition=0)
        for attempt in (attempt_of(503, None), Attempt("timeout"), attempt_of(204, None)):
            receiver.answers.put_nowait(attempt)
        await eventually(lambda: one.pending(notice_key(notice())) is None)
    spans = exporter.get_finished_spans()
    assert len(spans) == (3 if sampler is ALWAYS_ON else 0)
    assert "T0P-SECRET" not in "".join(span.to_json() for span in spans)
    trace = Trace.of_job("acme", notice().job_id)
    codes = []
    for number, span in enumerate(spans, 1):
        told = dict(span.attributes or {})
        assert (span.kind, told["server.address"]) == (SpanKind.CLIENT, "shop.example")
        assert told["imagelane.attempt"] == number
        assert span.context is not None
        assert span.context.trace_id == int(trace.trace_id, 16)
        assert span.parent is not None
        assert span.parent.span_id == int(trace.anchor, 16)
        codes.append((told.get("http.response.status_code"), told.get("error.type")))
    assert codes == [(503, "5xx"), (None, "timeout"), (204, None)][: len(spans)]
