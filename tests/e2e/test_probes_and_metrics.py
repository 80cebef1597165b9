"""The health ports of a running stack: ready services, and metrics that tell what a list went through."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import ClientConnectionError, ClientSession
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.images import Images
from tests.e2e.road import ON_THE_ROAD, Road

from imagelane.ops.metrics_reference import declared

pytestmark = ON_THE_ROAD

READY_SECONDS = 60.0
TOLD_SECONDS = 60.0
GOOD, GONE = 60, 3
OF_THE_LIST = {
    "accepted lists": 1,
    "requested images": GOOD + GONE,
    "sealed lists": 1,
    "downloaded": GOOD,
    "processed": GOOD,
    "worked on by children": GOOD,
    "not found by the downloader": GONE,
    "not found, told by the processor": GONE,
    "ended in calls": GOOD,
    "finished jobs": 1,
    "ready and in no call": 0,
    "lag of the processor": 0,
}
Samples = Counter[tuple[str, frozenset[tuple[str, str]]]]


async def test_every_service_becomes_ready_and_its_metrics_follow_a_list(
    road: Road, images: Images
) -> None:
    async with ClientSession() as session:
        for name in road.stack.health_ports:
            await until_ok(session, road, name)
        before = await scraped(session, road)
        gone = [f"{images.url}/gone-{n}.jpg" for n in range(GONE)]
        job = await road.submit("measured", urls=[*images.urls(GOOD), *gone])
        await road.finished(job)
        after = await until_told(session, road, before)
    assert_all_is_declared(after)


async def until_told(session: ClientSession, road: Road, before: Samples) -> Samples:
    """The metrics as soon as they tell of the whole list: some are shown every ten seconds only."""
    deadline = asyncio.get_running_loop().time() + TOLD_SECONDS
    while True:
        after = await scraped(session, road)
        told = what_they_tell(before, after)
        if told == OF_THE_LIST:
            return after
        assert asyncio.get_running_loop().time() < deadline, {
            name: (told[name], expected)
            for name, expected in OF_THE_LIST.items()
            if told[name] != expected
        }
        await asyncio.sleep(0.5)


def what_they_tell(before: Samples, after: Samples) -> dict[str, int]:
    """What has been counted since, by metric and label value; gauges as they stand."""
    moved = Counter(after)
    moved.subtract(before)

    def counted(name: str, **labels: str) -> int:
        return moved[f"imagelane_{name}", frozenset(labels.items())]

    def stands(name: str, **labels: str) -> int:
        return after[f"imagelane_{name}", frozenset(labels.items())]

    return {
        "accepted lists": counted("intake_lists_total", result="accepted"),
        "requested images": counted("intake_requested_images_total"),
        "sealed lists": counted("intake_sealed_lists_total"),
        "downloaded": counted("downloader_images_total", result="ok"),
        "processed": counted("processor_images_total", result="ok"),
        "worked on by children": counted("processor_child_work_seconds_count"),
        "not found by the downloader": counted("downloader_images_total", result="not_found"),
        "not found, told by the processor": counted("processor_images_total", result="not_found"),
        "ended in calls": sum(
            times
            for (name, _), times in moved.items()
            if name == "imagelane_dispatcher_ended_images_total"
        ),
        "finished jobs": counted("batcher_sent_events_total", type="job.finished.v1"),
        "ready and in no call": stands("batcher_ready_images"),
        "lag of the processor": stands("group_lag_records", group="processor"),
    }


async def until_ok(session: ClientSession, road: Road, name: str) -> None:
    """Waits until the service answers all three probes well."""
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    answers: list[str] = []
    while True:
        try:
            answers = [
                await asked(session, road, name, probe) for probe in ("livez", "readyz", "startupz")
            ]
        except ClientConnectionError as error:  # a stack that has just been started
            answers = [str(error)]
        if all('"status": "ok"' in answer for answer in answers):
            return
        assert asyncio.get_running_loop().time() < deadline, f"{name}: {answers}"
        await asyncio.sleep(0.2)


async def asked(session: ClientSession, road: Road, name: str, path: str) -> str:
    url = f"http://127.0.0.1:{road.stack.health_ports[name]}/{path}"
    async with session.get(url) as answer:
        return await answer.text()


async def scraped(session: ClientSession, road: Road) -> Samples:
    """Our own metrics of all services, in one heap."""
    found: Samples = Counter()
    for name in road.stack.health_ports:
        for family in text_string_to_metric_families(await asked(session, road, name, "metrics")):
            for sample in family.samples:
                if sample.name.startswith("imagelane_"):
                    found[sample.name, frozenset(sample.labels.items())] += int(sample.value)
    return found


def assert_all_is_declared(samples: Samples) -> None:
    known = {one.name: one for one in declared()}
    for name, labels in samples:
        base = next(
            (
                one
                for one in (name, *map(name.removesuffix, ("_bucket", "_count", "_sum")))
                if one in known
            ),
            None,
        )
        assert base is not None, f"{name} is not declared"
        for label, value in labels - {pair for pair in labels if pair[0] == "le"}:
            values = known[base].labels[label]
            assert not values or value in values, f"{name}: {label}={value}"
