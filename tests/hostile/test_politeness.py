"""Rows B18 to B20: when a server is asked again, and how much at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Final

import pytest
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import (
    Downloader,
    code_of,
    downloading,
    eventually,
    requested,
)
from tests.hostile.servers import listening, response, says
from tests.hostile.tripwire import Tripwire

from imagelane.contracts.events import ImageDownloaded


def in_a_second() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


ASKED: Final[list[tuple[str, Callable[[], str], float, float]]] = [
    # what a header says, and how long the next request waits, at least and at most
    ("1", lambda: "1", 1.0, 3.0),
    ("a date", in_a_second, 0.9, 4.0),
    ("-5", lambda: "-5", 0.0, 2.0),
    ("garbage", lambda: "soon; or later", 0.0, 2.0),
    ("a date without an end", lambda: "Wed, 99 Foo 9999", 0.0, 2.0),
    ("a year of 99 digits", lambda: "1 Dec " + "4" * 99 + " 23:05 GMT", 0.0, 2.0),
    ("empty", lambda: "", 0.0, 2.0),
]


@pytest.mark.parametrize(("what", "header", "least", "most"), ASKED, ids=[one[0] for one in ASKED])
async def test_b18_a_server_is_asked_again_when_it_wants_to_be(
    what: str,
    header: Callable[[], str],
    least: float,
    most: float,
    wire: Tripwire,
    tmp_path: Path,
    show_row: ShowRow,
) -> None:
    asked_at: list[float] = []
    loop = asyncio.get_running_loop()

    async def busy(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked_at.append(loop.time())
        if len(asked_at) == 1:
            writer.write(response(b"", f"Retry-After: {header()}", status="429 Later"))
        else:
            writer.write(response())

    async with (
        listening(busy) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
    waited = asked_at[1] - asked_at[0]
    show_row("B18", f"Retry-After: {what}", f"waited {waited:.1f} s", code_of(outcome))
    assert code_of(outcome) == "ok"
    assert least <= waited <= most


@pytest.mark.parametrize("header", ["1000000000", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_b18_nobody_may_ask_for_more_than_ten_minutes(
    header: str, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(says(response(b"", f"Retry-After: {header}", status="503 Later"))) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        downloader.requests.request([requested(f"{server.base}/a.jpg")])
        schedule = downloader.pipeline.schedule
        await eventually(lambda: schedule.throttling.pauses_asked == 1, downloader.running)
        wakes_at = schedule.wakes_at()
    assert wakes_at is not None
    waits = wakes_at - asyncio.get_running_loop().time()
    show_row("B18", f"Retry-After: {header[:30]}", f"waits {waits:.0f} s", "-")
    assert 590 < waits <= 601  # with the jitter of the retry
    assert len(server.requests) == 1


async def test_b19_a_kept_connection_that_the_server_closed_costs_nothing(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(says(response(), then_close=True)) as server,
        downloading(wire, tmp_path, server, retries=0) as downloader,
    ):
        codes = [code_of(await downloader.outcome(f"{server.base}/{at}")) for at in range(5)]
    show_row("B19", "closed behind every answer", f"{server.connections} connections", codes[-1])
    assert codes == ["ok"] * 5


async def flood(
    downloader: Downloader, base: str, count: int, customer: str = "acme"
) -> list[ImageDownloaded]:
    downloader.requests.request(requested(f"{base}/{at}.jpg", at, customer) for at in range(count))
    await eventually(lambda: len(downloader.requests.outcomes) == count, downloader.running)
    return list(downloader.requests.outcomes.values())


async def test_b20_a_host_that_bears_it_is_fetched_fast_and_never_beyond_the_cap(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async def quickly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005)
        writer.write(response())

    async with (
        listening(quickly) as server,
        downloading(wire, tmp_path, server, max_host_concurrency=24) as downloader,
    ):
        outcomes = await flood(downloader, server.base, 1_500)
    most = server.most_under_way
    show_row("B20", "1,500 URLs of one host", f"at most {most} at a time", "ok")
    assert {code_of(one) for one in outcomes} == {"ok"}
    assert 16 < most <= 24


async def test_b20_a_host_that_does_not_bear_it_is_spared_within_seconds(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    refused: list[float] = []
    loop = asyncio.get_running_loop()

    async with (
        listening(says()) as server,
        downloading(wire, tmp_path, server, retries=10) as downloader,
    ):

        async def at_most_three(_r: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if server.under_way > 3:
                refused.append(loop.time())
                writer.write(response(b"", status="429 Slower"))
                return
            await asyncio.sleep(0.01)
            writer.write(response())

        server.answer = at_most_three
        began_at = loop.time()
        outcomes = await flood(downloader, server.base, 400)
    lasted = loop.time() - began_at
    late = sum(at > began_at + 3 for at in refused)
    told = f"{len(refused)} times 429 in {lasted:.1f} s"
    show_row("B20", "400 URLs of a host that takes 3 at a time", told, "ok")
    assert {code_of(one) for one in outcomes} == {"ok"}
    assert len(refused) < 200
    assert late <= len(refused) / 2 or lasted < 6
