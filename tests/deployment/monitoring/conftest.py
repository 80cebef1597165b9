"""A stack on this machine that a Prometheus watches, from before its first list until after its last."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from tests.conftest import ARTIFACTS
from tests.deployment.monitoring.collector import Collector, collecting
from tests.deployment.monitoring.prometheus import scraping
from tests.deployment.monitoring.watched import Watched, until_ready
from tests.e2e.images import TINY_IMAGES, Images, serving
from tests.e2e.road import CACHE, SETTINGS, started

from imagelane.ops.local import LocalOptions, Standin
from imagelane.ops.photos import make_tiny

DELAY_SECONDS = 0.3
CALL_SECONDS = 7.0
"""Longer than Prometheus waits between two looks, so that it sees calls under way."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    folder = tmp_path_factory.mktemp("images")
    make_tiny(folder, TINY_IMAGES)
    (folder / "lists").mkdir()
    with serving(folder, DELAY_SECONDS) as url:
        yield Images(url, url, folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(request: pytest.FixtureRequest, images: Images) -> AsyncIterator[Watched]:
    """Everything that the demo does has been done, and Prometheus has seen all of it."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="monitoring-", dir=ARTIFACTS))
    for part in ("collector", "prometheus"):
        (folder / part).mkdir()
    async with AsyncExitStack() as parts:
        collector = await parts.enter_async_context(collecting(folder / "collector"))
        road = await parts.enter_async_context(started(options_at(folder, collector)))
        await until_ready(road)
        prometheus = await parts.enter_async_context(
            scraping(folder / "prometheus", road.stack.health_ports)
        )
        watched = Watched(road, prometheus, collector, images)
        await watched.run_demo()
        yield watched
    if not request.session.testsfailed:
        shutil.rmtree(folder)


def options_at(folder: Path, collector: Collector) -> LocalOptions:
    """The stack as `imagelane local` starts it, with calls that take a while, and every span exported soon."""
    tracing = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
    }
    return LocalOptions(
        data=folder,
        cache=CACHE,
        loopback_sources=True,
        standin=Standin(base_seconds=CALL_SECONDS),
        environment=SETTINGS | tracing,
    )
