"""The health port: three probes over all parts, and the metrics."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from imagelane.core import health
from imagelane.core.health import MemberState, Place
from imagelane.platform import health_groups
from imagelane.platform.health import serving
from imagelane.platform.health_groups import GroupPart, MemberStuckError
from imagelane.platform.health_parts import StartPart, StorePart
from imagelane.platform.lag import LagUnknownError
from imagelane.platform.metrics_group import IDLE, LAG, PARTITIONS
from imagelane.platform.settings import HealthSettings, SettingsError
from imagelane.platform.store import StoreUnavailableError

PATIENCE_SECONDS = 10.0


@dataclass
class Told:
    name: str = "told"
    life: str = ""
    readiness: str = ""
    start: str = ""

    def lives(self) -> str:
        return self.life

    def is_ready(self) -> str:
        return self.readiness

    def has_started(self) -> str:
        return self.start


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def asked(port: int, path: str) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.json()


async def test_each_probe_asks_its_own_question_of_every_part() -> None:
    one, other = Told("one"), Told("other")
    port = free_port()
    async with serving(HealthSettings(port=port), one, other):
        for path in ("/livez", "/readyz", "/startupz"):
            assert await asked(port, path) == (200, {"status": "ok"})
        one.life, other.readiness, other.start = "dead", "not yet", "joining"
        assert await asked(port, "/livez") == (503, failing(one="dead"))
        assert await asked(port, "/readyz") == (503, failing(other="not yet"))
        assert await asked(port, "/startupz") == (503, failing(other="joining"))


def failing(**reasons: str) -> dict[str, Any]:
    return {"status": "not ok", "reasons": reasons}


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_are_served_in_the_format_that_is_asked_for(accept: str) -> None:
    port = free_port()
    async with (
        serving(HealthSettings(port=port)),
        aiohttp.ClientSession(headers={"Accept": accept}) as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.headers["Content-Type"].startswith(accept.partition(";")[0])
        text = await answer.text()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"imagelane_group_partitions", "process_cpu_seconds"} <= {
        name.removesuffix("_total") for name in names
    }
    assert "_created" not in text


async def test_a_port_of_0_serves_nothing() -> None:
    async with serving(HealthSettings(port=0), Told()) as port:
        assert port == 0


async def test_a_taken_port_is_named_by_its_variable() -> None:
    port = free_port()
    async with serving(HealthSettings(port=port)):
        with pytest.raises(SettingsError, match=f"IMAGELANE_HEALTH__PORT: port {port}"):
            async with serving(HealthSettings(port=port)):
                pytest.fail("two have the same port")


async def test_an_address_that_is_not_ours_is_named_by_its_variable() -> None:
    with pytest.raises(SettingsError, match="IMAGELANE_HEALTH__HOST: nobody can listen on 192"):
        async with serving(HealthSettings(host="192.0.2.1", port=free_port())):
            pytest.fail("it listens on another machine's address")


class Broker:
    """A broker with one topic of two partitions, 0 to 10, as far as a group's part asks it."""

    def __init__(self) -> None:
        self.answers = True
        self.commits: dict[int, int] = {}
        self.asked = 0

    async def first_offsets(self, _topic: str) -> dict[int, int]:
        return self._offsets_at(0)

    async def end_offsets(self, _topic: str) -> dict[int, int]:
        return self._offsets_at(10)

    async def committed(self, _service: str, _topic: str) -> dict[int, int]:
        self._answer()
        return self.commits

    def _offsets_at(self, offset: int) -> dict[int, int]:
        self._answer()
        return {0: offset, 1: offset}

    def _answer(self) -> None:
        self.asked += 1
        if not self.answers:
            raise LagUnknownError("no broker")


class Member:
    def __init__(self, positions: dict[Place, int | None]) -> None:
        self.positions = positions

    def state(self) -> MemberState:
        now = asyncio.get_running_loop().time()
        return MemberState(now, self.positions, read_ahead=1, in_work=2)


async def looked(part: GroupPart, broker: Broker, times: int = 1) -> None:
    """Runs the part until it has looked once more."""
    running = asyncio.create_task(part.run())
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    before = broker.asked
    while broker.asked < before + times:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.02)
    running.cancel()


def group_part(broker: Broker, member: Member) -> GroupPart:
    return GroupPart("downloader", ["requested"], broker, member.state)


async def test_a_member_is_ready_once_it_has_partitions_and_shows_what_waits() -> None:
    broker, member = Broker(), Member({})
    part = group_part(broker, member)
    assert (part.name, part.lives()) == ("group downloader", "")
    assert part.is_ready() == part.has_started() == "it has not joined its group yet"
    member.positions = {("requested", 1): 7}
    assert part.is_ready() == part.has_started() == ""
    await looked(part, broker, times=2)
    shown = [gauge.labels("downloader")._value.get() for gauge in (PARTITIONS, LAG, IDLE)]
    assert shown == [1, 3 + 1 + 2, 0]


async def test_a_member_without_partitions_stands_by_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "SPARE_SECONDS", 0.05)
    monkeypatch.setattr(health_groups, "JOIN_SECONDS", 0.0)
    monkeypatch.setattr(health_groups, "JOINING_LOOK_SECONDS", 0.01)
    broker, member = Broker(), Member({})
    part = group_part(broker, member)
    assert part.is_ready()
    broker.commits = {0: 10}
    await looked(part, broker, times=10)
    assert part._watch.view.behind == {("requested", 1): 0}
    await asyncio.sleep(0.05)
    assert part.is_ready() == part.has_started() == part.lives() == ""


async def test_a_broker_that_is_away_is_held_against_nobody() -> None:
    broker, member = Broker(), Member({("requested", 1): 7})
    part = group_part(broker, member)
    broker.answers = False
    await looked(part, broker)
    assert part.is_ready() == part.lives() == ""


async def test_a_member_that_takes_nothing_for_too_long_ends_its_process() -> None:
    broker, member = Broker(), Member({("requested", 1): 7})
    idle = MemberState(asyncio.get_running_loop().time(), member.positions)
    part = GroupPart(
        "downloader", ["requested"], broker, lambda: idle, idle_seconds=0.05, look_seconds=0.01
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(MemberStuckError, match="group downloader: records wait"):
            await part.run()
    assert part.lives().startswith("records wait")


class Store:
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = ""

    async def exists(self, key: str) -> bool:
        self.asked = key
        if self.error is not None:
            raise self.error
        return False


async def test_a_store_that_is_away_makes_unready_and_nothing_worse() -> None:
    good, bad = Store(), Store()
    places: Any = ((good, ""), (bad, "photos/"))
    for error, ready in ((None, True), (StoreUnavailableError("refused"), False)):
        bad.error = error
        part = StorePart(*places)
        running = asyncio.create_task(part.run())
        await asyncio.sleep(0.02)
        running.cancel()
        assert (part.is_ready() == "") is ready
        assert part.lives() == part.has_started() == ""
    assert (good.asked, bad.asked) == ("health/absent", "photos/health/absent")


def test_a_start_says_what_it_waits_for_until_it_is_done() -> None:
    start = StartPart()
    assert start.is_ready() == start.has_started() == "it is starting"
    start.waits_for("the gateway")
    assert start.is_ready() == start.has_started() == "it waits for the gateway"
    assert start.lives() == ""
    start.done()
    assert start.is_ready() == start.has_started() == ""
