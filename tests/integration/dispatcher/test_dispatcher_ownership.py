"""Real zombies: a worker that stands still at the worst moment, another one in its place, and then it wakes.

The stand-in's journal is the judge: whatever the zombie still does, each image is in one call, and no
customer has two at a time.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.chaos.proxy import Weather, proxying
from tests.conftest import CACHE
from tests.integration.dispatcher.conftest import (
    SESSION_SECONDS,
    BatchServer,
    Rig,
    Rigs,
    urls,
)
from tests.waiting import eventually

from imagelane.dispatcher.core.policy import Capabilities
from imagelane.dispatcher.settings import Failpoint
from imagelane.ops import topics
from imagelane.ops.broker import EmbeddedBroker, broker_home
from imagelane.ops.broker.server import free_port
from imagelane.platform.settings import KafkaSettings
from imagelane.standin import app as standin
from imagelane.standin import journal
from imagelane.standin.fetching import FetchOptions
from imagelane.standin.journal import Entry
from imagelane.standin.judge import Expected, judge, table
from imagelane.standin.options import Options
from imagelane.standin.running import Duration

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

DRAIN_SECONDS = 7.0
STOPS: tuple[tuple[Capabilities, Failpoint], ...] = (
    ("A", "before_transaction"),
    ("A", "in_transaction"),
    ("A", "before_commit"),
    ("A", "behind_gate"),
    ("B", "before_gate"),
    ("B", "after_plan"),
    ("C", "after_attempt"),
)
SENDS_AFTER_ALL = "behind_gate"
"""Between the gate and the first byte nothing can stop a woken worker but the API itself."""


@dataclass(frozen=True)
class Journal:
    """A stand-in of the batch API, and what it has seen."""

    url: str
    control_url: str
    path: Path

    def entries(self) -> list[Entry]:
        return journal.read(self.path)

    def posts(self, customer: str | None = None) -> list[Entry]:
        return [
            one
            for one in self.entries()
            if one["kind"] == "request"
            and one["method"] == "POST"
            and customer in (None, one.get("customer"))
        ]

    def prove(self, expected: dict[str, list[str]]) -> None:
        entries = self.entries()
        for customer, handed_in in expected.items():  # one by one: their images have the same names
            own = [one for one in entries if one.get("customer") == customer]
            verdict = judge(own, Expected(expected={customer: handed_in}))
            assert verdict.kept, table(verdict)
            assert verdict.unfinished == 0


@asynccontextmanager
async def batch_api(folder: Path, level: Capabilities) -> AsyncIterator[Journal]:
    options = Options(
        journal=folder / f"{level}.ndjson",
        level=level,
        duration=Duration(0.3, 0.0),
        fetch=FetchOptions(mode="none"),
    )
    async with standin.running(options) as one:
        yield Journal(one.url, one.control_url, options.journal)


async def test_a_worker_stopped_at_any_point_sends_nothing_when_it_wakes(
    rigs: Rigs, tmp_path: Path
) -> None:
    """F03: before, in and after the transaction, and about to send; at B and C the next one waits first."""

    async def stop_and_wake(level: Capabilities, point: Failpoint, rig: Rig, api: Journal) -> None:
        customer, stopped = f"{level}-{point}", tmp_path / f"{level}-{point}"
        own = {"capabilities": level, "drain_seconds": DRAIN_SECONDS, "poll_max_seconds": 1}
        rig.api = BatchServer(url=api.url)
        zombie = rig.start(
            "one", **own, failpoint=point, failpoint_action="stop", failpoint_marker=stopped
        )
        rig.request(customer, 1, range(3))
        await eventually(stopped.exists, within_seconds=60)
        assert api.posts(customer) == []
        successor = rig.start("two", **own)
        await eventually(lambda: "partitions.assigned" in rig.log_of(successor), within_seconds=60)
        taken_over_at = time.monotonic()
        await rig.resolved(customer, 1, within_seconds=90)
        if level in "BC" and point != "after_plan":  # what was never attempted needs no waiting
            assert api.posts(customer)[0]["monotonic"] - taken_over_at > DRAIN_SECONDS - 1
        zombie.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(zombie.wait, 20) == 70, rig.log_of(zombie)
        rig.request(customer, 2, range(2, 5))
        await rig.resolved(customer, 2, within_seconds=60)
        late = 1 if point == SENDS_AFTER_ALL else 0
        assert 2 <= len(api.posts(customer)) <= 2 + late

    async with AsyncExitStack() as stack:
        levels: Iterable[Capabilities] = ("A", "B", "C")
        apis = {
            level: await stack.enter_async_context(batch_api(tmp_path, level)) for level in levels
        }
        stops = [(level, point, rigs(), apis[level]) for level, point in STOPS]
        await asyncio.gather(*(stop_and_wake(*one) for one in stops))
    for level, api in apis.items():
        expected = {f"{level}-{at}": urls(range(5)) for one, at in STOPS if one == level}
        api.prove(expected)


async def test_a_worker_that_the_broker_does_not_hear_any_more_stops_sending(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """F03 and F08: only its way to the broker is a black hole; the API would take all it sends."""
    own, told = free_port(), free_port()
    broker = EmbeddedBroker(broker_home(CACHE, print), tmp_path / "broker", proxied=(own, told))
    await asyncio.to_thread(broker.start)
    request.addfinalizer(broker.stop)
    kafka = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        topic_prefix="hole-",
        strict_partitions=4,
        spread_partitions=4,
        session_timeout_seconds=SESSION_SECONDS,
    )
    await asyncio.to_thread(topics.apply, kafka, lambda _text: None)
    async with proxying(own, told) as proxy, batch_api(tmp_path, "A") as api:
        rig = Rig(kafka, BatchServer(url=api.url), tmp_path)
        request.addfinalizer(rig.close)
        rig.environment = {"KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{told}"}
        deaf = rig.start("one")
        rig.environment = {}
        customers = rig.customers(12)
        work = asyncio.gather(*(rig.work(customer, calls=8) for customer in customers))
        await eventually(lambda: len(api.posts()) >= 20, within_seconds=60)
        await proxy.set(Weather(deaf=True, mute=True))
        cut_off_at = time.monotonic()
        await asyncio.sleep(SESSION_SECONDS)
        sent = len(api.posts())
        await asyncio.sleep(2)
        assert len(api.posts()) == sent, "it still sends, though it cannot own anything any more"
        rig.start("two")
        await eventually(lambda: len(api.posts()) > sent + 12, within_seconds=60)
        first_of_two = api.posts()[sent]["monotonic"]
        assert first_of_two - cut_off_at > SESSION_SECONDS
        await proxy.calm()
        await work
        api.prove({customer: urls(range(5, 45)) for customer in customers})
        assert deaf.poll() in (None, 1, 70)
