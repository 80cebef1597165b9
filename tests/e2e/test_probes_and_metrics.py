"""The health ports of a running stack: ready services, and metrics that tell what a list went through."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.images import Images
from tests.e2e.road import ON_THE_ROAD, Road

from imagelane.ops.metrics_reference import declared

pytestmark = ON_THE_ROAD

READY_SECONDS = 60.0
GOOD, GONE = 60, 3
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
        await asyncio.sleep(6)  # some are shown every five seconds only
        after = await scraped(session, road)

    moved = Counter(after)
    moved.subtract(before)
    told = {
        "intake_lists_total": ({"result": "accepted"}, 1),
        "intake_requested_images_total": ({}, GOOD + GONE),
        "intake_sealed_lists_total": ({}, 1),
        "downloader_images_total": ({"result": "ok"}, GOOD),
        "processor_images_total": ({"result": "ok"}, GOOD),
        "processor_child_work_seconds_count": ({}, GOOD),
        "batcher_sent_events_total": ({"type": "job.finished.v1"}, 1),
    }
    for name, (labels, expected) in told.items():
        assert moved[f"imagelane_{name}", frozenset(labels.items())] == expected, name
    for service in ("downloader", "processor"):
        failed = frozenset({("result", "not_found")})
        assert moved[f"imagelane_{service}_images_total", failed] == GONE
    ended = sum(
        times
        for (name, _), times in moved.items()
        if name == "imagelane_dispatcher_ended_images_total"
    )
    assert ended == GOOD
    assert after["imagelane_batcher_ready_images", frozenset()] == 0
    assert after["imagelane_group_lag_records", frozenset({("group", "processor")})] == 0
    assert_all_is_declared(after)


async def until_ok(session: ClientSession, road: Road, name: str) -> None:
    """Waits until the service answers all three probes well."""
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    answers: list[str] = []
    while True:
        answers = [
            await asked(session, road, name, probe) for probe in ("livez", "readyz", "startupz")
        ]
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
