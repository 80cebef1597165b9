"""What an operator of the Compose profile `monitoring` sees: a real Prometheus scrapes a stack, draws and alerts."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterable
from math import isnan
from typing import Final

import pytest
from aiohttp import ClientSession
from tests.deployment.monitoring.dashboard import (
    NOUGHT,
    QUESTIONS,
    SCRAPE_SECONDS,
    SHORT_LIVED,
    VARIABLES,
    Question,
)
from tests.deployment.monitoring.programs import program
from tests.deployment.monitoring.prometheus import Labels, Series
from tests.deployment.monitoring.watched import GONE, GOOD, Watched
from tests.deployment.test_alerts import RULES
from tests.e2e.test_probes_and_metrics import asked

from imagelane.ops.metrics_reference import declared
from imagelane.platform.metrics import Declared

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

JOB: Final = "imagelane"
FIRES_SECONDS: Final = 90.0
SPANS_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.5

each_question = pytest.mark.parametrize("question", QUESTIONS, ids=str)


def only(found: Iterable[Series]) -> float:
    (one,) = found
    (value,) = one.values
    return value


async def test_every_service_is_scraped_and_known_by_its_name(watched: Watched) -> None:
    targets = (await watched.prometheus.asked("targets", state="active"))["activeTargets"]
    assert {one["health"] for one in targets} == {"up"}, targets
    assert {one["lastError"] for one in targets} == {""}
    known = {one["labels"]["service"]: one["labels"] for one in targets}
    assert known.keys() == watched.road.stack.health_ports.keys()
    for name, labels in known.items():
        assert (labels["job"], labels["pod"]) == (JOB, name)


async def test_every_service_serves_the_metrics_that_are_listed_for_it(watched: Watched) -> None:
    for service in watched.road.stack.health_ports:
        listed = {one.name: one for one in declared() if service in one.services}
        served = await watched.prometheus.asked(
            "series", **{"match[]": f'{{__name__=~"imagelane_.+",service="{service}"}}'}
        )
        names = {plain(one["__name__"], listed) for one in served}
        assert names == listed.keys(), service
        for series in served:
            assert_listed(series, listed[plain(series["__name__"], listed)])


def plain(name: str, listed: dict[str, Declared]) -> str:
    """The metric of a series: a histogram has several."""
    for ending in ("_bucket", "_count", "_sum"):
        metric = name.removesuffix(ending)
        if metric != name and metric in listed and listed[metric].kind == "histogram":
            return metric
    return name


def assert_listed(series: Labels, metric: Declared) -> None:
    own = {
        label: value
        for label, value in series.items()
        if label not in {"__name__", "job", "instance", "service", "pod", "le"}
    }
    assert own.keys() == metric.labels.keys(), series
    for label, value in own.items():
        assert not metric.labels[label] or value in metric.labels[label], series


async def test_prometheus_reads_kind_and_meaning_as_they_are_listed(watched: Watched) -> None:
    told = await watched.prometheus.asked("metadata")
    for metric in declared():
        (one,) = told[metric.name.removesuffix("_total")]
        assert (one["type"], one["help"]) == (metric.kind, metric.meaning)


async def test_prometheus_own_linter_finds_nothing_in_what_services_serve(
    watched: Watched,
) -> None:
    async with ClientSession() as session:
        for service in watched.road.stack.health_ports:
            served = await asked(session, watched.road, service, "metrics")
            command = [program("promtool"), "check", "metrics", "--lint=all"]
            done = await asyncio.to_thread(
                subprocess.run, command, input=served, capture_output=True, text=True, timeout=60
            )
            ours = [one for one in done.stderr.splitlines() if one.startswith("imagelane_")]
            assert ours == [], service


@each_question
async def test_every_line_of_the_dashboard_is_drawn(watched: Watched, question: Question) -> None:
    lines = await watched.prometheus.over(question.asked(JOB), watched.since, SCRAPE_SECONDS)
    assert lines
    assert {frozenset(one.labels) for one in lines} == {frozenset(question.labels)}
    values = [value for one in lines for value in one.values if not isnan(value)]
    assert min(values, default=-1.0) >= 0.0
    if str(question) not in SHORT_LIVED:
        assert (max(values) > 0.0) is (str(question) not in NOUGHT)


async def test_the_dashboard_s_variable_is_filled(watched: Watched) -> None:
    query = VARIABLES["job"]["query"]
    metric = query.removeprefix("label_values(").removesuffix(", job)")
    assert await watched.prometheus.asked("label/job/values", **{"match[]": metric}) == [JOB]


async def test_the_counts_are_those_of_the_judge(watched: Watched) -> None:
    assert (watched.delivered, watched.failed) == (sum(GOOD.values()), GONE)
    counted = {
        "imagelane_intake_requested_images_total": watched.delivered + watched.failed,
        'imagelane_downloader_images_total{result="ok"}': watched.delivered,
        'imagelane_processor_images_total{result="ok"}': watched.delivered,
        'imagelane_processor_images_total{result="not_found"}': watched.failed,
        "imagelane_dispatcher_ended_images_total": watched.delivered,
        "imagelane_dispatcher_ended_calls_total": watched.calls,
        "imagelane_dispatcher_call_seconds_count": watched.calls,
        "imagelane_notifier_ended_notices_total": 1,
    }
    for query, expected in counted.items():
        assert only(await watched.prometheus.now(f"sum({query})")) == expected, query


async def test_the_collector_takes_every_span_and_the_services_know(watched: Watched) -> None:
    images = watched.delivered + watched.failed
    expected = {
        "accept job": len(GOOD),
        "request image": images,
        "download image": images,
        "process image": watched.delivered,
        "pass on failed image": watched.failed,
        "settle image": watched.failed,
        "gather image": watched.delivered,
        "deliver image": watched.delivered,
        "call batch API": watched.calls,
        "finish job": len(GOOD),
    }
    exported = 'sum(imagelane_trace_spans_total{result="exported"})'
    deadline = asyncio.get_running_loop().time() + SPANS_SECONDS
    while True:
        taken = watched.collector.spans()
        known = only(await watched.prometheus.now(exported))
        found = {name: taken[name] for name in expected}
        if (found, known) == (expected, taken.total()):
            return
        assert asyncio.get_running_loop().time() < deadline, (found, expected, known, taken)
        await asyncio.sleep(LOOK_SECONDS)


async def test_every_alert_is_evaluated_and_none_fires_while_all_is_well(watched: Watched) -> None:
    (group,) = (await watched.prometheus.asked("rules", type="alert"))["groups"]
    assert [one["name"] for one in group["rules"]] == [one["alert"] for one in RULES]
    assert {one["health"] for one in group["rules"]} == {"ok"}, group
    assert {one["lastError"] for one in group["rules"] if "lastError" in one} <= {""}
    fired = await watched.prometheus.over(
        'ALERTS{alertstate="firing"}', watched.since, SCRAPE_SECONDS
    )
    assert [one.labels for one in fired] == []


async def test_a_service_that_is_killed_and_stays_away_raises_its_alert_and_no_other(
    watched: Watched,
) -> None:
    supervisor = watched.road.stack.supervisor
    gone = {"alertname": "ImagelaneServiceGone", "service": "batcher", "severity": "critical"}
    supervisor.kill("batcher")
    await supervisor.stop("batcher")
    assert await until_firing(watched, [gone]) == [gone]
    watched.road.start("batcher")
    assert await until_firing(watched, []) == []


async def until_firing(watched: Watched, expected: list[Labels]) -> list[Labels]:
    """What fires: as expected, or what there is when patience ends."""
    deadline = asyncio.get_running_loop().time() + FIRES_SECONDS
    while True:
        firing = await watched.prometheus.firing()
        if firing == expected or asyncio.get_running_loop().time() > deadline:
            return firing
        await asyncio.sleep(LOOK_SECONDS)


@pytest.mark.parametrize(
    "question",
    [one for one in QUESTIONS if one.panel == "Images a second, by stage"],
    ids=str,
)
async def test_the_area_under_a_stage_s_line_is_its_images(
    watched: Watched, question: Question
) -> None:
    (line,) = await watched.prometheus.over(question.asked(JOB), watched.since, SCRAPE_SECONDS)
    area = sum(value for value in line.values if not isnan(value)) * SCRAPE_SECONDS
    failed = watched.failed if question.legend in {"requested", "downloaded", "processed"} else 0
    assert area == pytest.approx(watched.delivered + failed, rel=0.25)
