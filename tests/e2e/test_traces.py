"""Traces of whole jobs, as a real collector of OpenTelemetry receives them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from tests.e2e.collector import Collector, Seen, collecting
from tests.e2e.conftest import _data_folder, options_at
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, SETTINGS, Job, Road, started
from tests.e2e.test_by_command_line import Shell
from tests.e2e.test_probes_and_metrics import scraped

from imagelane.contracts.codec import Trace

pytestmark = ON_THE_ROAD

OK: Final = 60
SECRET: Final = "signature-of-the-customer"
TRACING: Final = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_BSP_MAX_QUEUE_SIZE": "256",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "128",
}
DELIVERED: Final = {
    ("intake", "request image"),
    ("downloader", "download image"),
    ("processor", "process image"),
    ("batcher", "gather image"),
    ("dispatcher", "deliver image"),
}

OF_JOB: Final = {"accept job", "finish job", "show end of job", "post notice"}


@dataclass(frozen=True, slots=True)
class Traced:
    """A stack whose services export every span, soon, through a small queue."""

    road: Road
    collector: Collector


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traced(request: pytest.FixtureRequest) -> AsyncIterator[Traced]:
    for folder in _data_folder("traced", request.config):
        async with collecting() as collector:
            tracing = TRACING | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
            async with started(options_at(folder, environment=SETTINGS | tracing)) as road:
                yield Traced(road, collector)


async def test_every_image_has_one_trace_from_its_request_to_its_call(
    traced: Traced, images: Images, tmp_path: Path
) -> None:
    road, collector = traced.road, traced.collector
    urls = [f"{url}&sig={SECRET}" for url in images.urls(OK)]
    urls += [f"{images.url}/nowhere.jpg?sig={SECRET}", images.put("torn.jpg", images.tiny()[:400])]
    nobody = f"{collector.url}/nobody/{SECRET}"
    job = await road.submit("traced", urls=urls, notify_url=nobody)
    await road.finished(job)
    outcome = prove(road, job)[job]
    job_id = outcome.job_id

    def of_image(index: int) -> list[Seen]:
        return collector.of(Trace.of_image("traced", job_id, index).trace_id)

    of_job = partial(collector.of, Trace.of_job("traced", job_id).trace_id)
    await road.until(
        "every span",
        lambda: (
            all(len(of_image(index)) >= len(DELIVERED) for index in range(OK))
            and all(len(of_image(index)) >= 4 for index in (OK, OK + 1))
            and {one.name for one in of_job()} >= OF_JOB
        ),
    )
    calls = {one.span_id: one for one in collector.named("call batch API")}
    for index in range(OK):
        spans = {one.name: one for one in of_image(index)}
        assert {(one.service, one.name) for one in spans.values()} == DELIVERED
        assert len(of_image(index)) == len(DELIVERED)
        assert not any(one.code for one in spans.values())
        assert_chain(spans, "request image", "download image", "process image", "gather image")
        assert spans["deliver image"].parent_id == spans["request image"].span_id
        ((call_trace, call_span),) = spans["deliver image"].links
        assert calls[call_span].trace_id == call_trace
        assert spans["gather image"].links == spans["deliver image"].links
        root = spans["request image"]
        assert (root.trace_id, root.span_id) in calls[call_span].links
        assert root.attributes["imagelane.job_id"] == job_id
        assert root.attributes["imagelane.index"] == index
        assert root.resource["deployment.environment.name"] == "tests"
    assert sum(one.attributes["messaging.batch.message_count"] for one in calls.values()) == OK
    assert_failed(of_image(OK), "download image", "not_found")
    assert_failed(of_image(OK + 1), "process image", outcome.failed[OK + 1])
    assert_told_of_the_job(of_job(), collector)
    assert not any(SECRET.encode() in body for body in collector.bodies)
    await assert_the_same_ids_elsewhere(road, job, job_id, tmp_path)


async def test_a_call_is_one_span_though_its_dispatcher_was_killed_in_the_middle(
    traced: Traced, images: Images
) -> None:
    road, collector = traced.road, traced.collector
    job = await road.submit("killed", urls=images.urls(OK))
    await road.until("a call", lambda: road.calls("killed"))
    await road.kill("dispatcher")
    await road.finished(job)
    calls = road.calls("killed")

    def told() -> list[Seen]:
        spans = collector.named("call batch API")
        return [one for one in spans if one.attributes["imagelane.customer_id"] == "killed"]

    await road.until("the spans of all calls", lambda: len(told()) >= len(calls))
    assert len(told()) == len(calls)
    assert {one.attributes["imagelane.call_id"] for one in told()} == {one.batch for one in calls}
    assert max(one.seconds for one in told()) >= 0.8  # what the batch API takes at least


async def test_a_collector_that_hangs_and_one_that_is_gone_hold_up_nothing(
    traced: Traced, images: Images
) -> None:
    road, collector = traced.road, traced.collector
    collector.mood = "hangs"
    hanging = await road.submit("hanging", urls=images.urls(900))
    await road.finished(hanging)
    assert len(prove(road, hanging)[hanging].ok) == 900
    collector.mood = "refuses"
    refused = await road.submit("refused", urls=images.urls(50))
    await road.finished(refused)
    assert len(prove(road, refused)[refused].ok) == 50
    async with ClientSession() as session:
        counted = await scraped(session, road)
    lost = {
        dict(labels)["result"]: times
        for (name, labels), times in counted.items()
        if name == "imagelane_trace_spans_total"
    }
    assert lost["failed"] > 0
    assert lost["dropped"] > 0
    collector.mood = "takes"
    back = await road.submit("back", urls=images.urls(5))
    await road.finished(back)
    job_id = prove(road, back)[back].job_id
    traces = {Trace.of_image("back", job_id, index).trace_id for index in range(5)}
    await road.until("spans again", lambda: traces <= {one.trace_id for one in collector.spans})


def assert_chain(spans: dict[str, Seen], *names: str) -> None:
    assert spans[names[0]].parent_id == ""
    for before, after in pairwise(names):
        assert spans[after].parent_id == spans[before].span_id, (before, after)


def assert_failed(spans: list[Seen], where: str, code: str) -> None:
    by_name = {one.name: one for one in spans}
    assert by_name[where].code == code
    assert by_name[where].attributes["error.type"] == code
    assert by_name["settle image"].code == code
    assert Counter(one.code for one in spans)[code] == 2


def assert_told_of_the_job(spans: list[Seen], collector: Collector) -> None:
    by_name = {one.name: one for one in spans}
    assert by_name.keys() == OF_JOB
    root = by_name["accept job"]
    for name in ("post notice", "show end of job"):
        assert by_name[name].parent_id == root.span_id
    assert by_name["post notice"].code == "4xx"
    assert by_name["post notice"].attributes["http.response.status_code"] == 404
    ((_, batch),) = by_name["show end of job"].links
    (written,) = (one for one in collector.named("write records") if one.span_id == batch)
    assert written.service == "tracker"
    assert (root.trace_id, root.span_id) in written.links


async def assert_the_same_ids_elsewhere(road: Road, job: Job, job_id: str, folder: Path) -> None:
    """In the tracker's trail, and in the services' log."""
    (folder / "imagelane-data").symlink_to(road.stack.options.data)
    trail = (await Shell(folder).run("trace", f"{job_id}:0", "--json")).json
    assert trail["trace_id"] == Trace.of_image(job.customer, job_id, 0).trace_id
    lines = (road.stack.logs / "intake.log").read_text().splitlines()
    logged = [json.loads(line) for line in lines if "list.accepted" in line]
    ids = {one["trace_id"] for one in logged if one["job_id"] == job_id}
    assert ids == {Trace.of_job(job.customer, job_id).trace_id}
