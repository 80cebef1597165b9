"""Row B21: thousands of hosts that stall cost their own images, and nobody else's pace.

Measured as a ratio, in one run: the same images alone, and beside the stalling ones. So few slots and so slow
servers that slots are what is scarce, not this machine's cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import Downloader, code_of, downloading, eventually, requested
from tests.hostile.servers import Names, Server, listening, response
from tests.hostile.tripwire import Tripwire

from imagelane.contracts.events import ImageRequested

IMAGES: Final = 500
SLOTS: Final = 20
ANSWER_SECONDS: Final = 0.1
HEALTHY_HOSTS: Final = 4
PATIENCE_SECONDS: Final = 60.0


class AnyName(Names):
    """Every name is there, on loopback."""

    def __call__(self, name: str) -> Sequence[str]:
        self.asked[name] += 1
        return ["127.0.0.1"]


@dataclass(frozen=True)
class Pace:
    """Healthy images a second, by customer."""

    mixed: float
    other: float


async def steadily(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(ANSWER_SECONDS)
    writer.write(response())


def healthy(customer: str, server: Server) -> list[ImageRequested]:
    hosts = [f"{customer}-{at}.example.com" for at in range(HEALTHY_HOSTS)]
    return [
        requested(f"http://{hosts[at % HEALTHY_HOSTS]}:{server.port}/{at}.jpg", at, customer)
        for at in range(IMAGES)
    ]


def stalling(hosts: int, server: Server) -> list[ImageRequested]:
    return [
        requested(f"http://stalls-{at}.example.net:{server.port}/a.jpg", IMAGES + at, "mixed")
        for at in range(hosts)
    ]


def interleaved(
    healthy: list[ImageRequested], stalling: list[ImageRequested]
) -> Iterator[ImageRequested]:
    """As a careless list would have them: bad ones everywhere between the good ones."""
    bad = iter(stalling)
    each = len(stalling) / len(healthy)
    given = 0
    for at, image in enumerate(healthy, 1):
        while given < each * at:
            yield next(bad)
            given += 1
        yield image


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Until the other side has had enough."""
    await reader.read()


async def pace(downloader: Downloader, mixed: Iterator[ImageRequested], good: Server) -> Pace:
    """What is measured begins when every healthy host has answered once."""
    requests, loop = downloader.requests, asyncio.get_running_loop()
    first = healthy("mixed", good)[:HEALTHY_HOSTS] + healthy("other", good)[:HEALTHY_HOSTS]
    requests.request(requested(one.url, at, "first") for at, one in enumerate(first))
    await eventually(lambda: len(requests.outcomes) == len(first), downloader.running)
    began_at = loop.time()
    requests.request(mixed)
    requests.request(healthy("other", good))
    wanted = {customer: [(customer, at) for at in range(IMAGES)] for customer in ("mixed", "other")}
    await eventually(
        lambda: all(key in requests.outcomes for keys in wanted.values() for key in keys[::-1]),
        downloader.running,
        PATIENCE_SECONDS,
    )
    for keys in wanted.values():
        assert {code_of(requests.outcomes[key]) for key in keys} == {"ok"}
    seconds = {
        customer: max(requests.ended_at[key] for key in keys) - began_at
        for customer, keys in wanted.items()
    }
    return Pace(IMAGES / seconds["mixed"], IMAGES / seconds["other"])


async def compared(
    hosts: int, wire: Tripwire, folder: Path, good: Server, bad: Server
) -> tuple[Pace, Pace]:
    """Alone, and beside so many hosts that stall."""
    paces = []
    for count in (0, hosts):
        async with downloading(
            wire,
            folder / str(count),
            good,
            bad,
            names=AnyName(),
            http={"total_seconds": 30.0, "read_seconds": 5.0},
            concurrency=SLOTS,
            retries=3,
        ) as downloader:
            list_of_mixed = interleaved(healthy("mixed", good), stalling(count, bad))
            paces.append(await pace(downloader, list_of_mixed, good))
    alone, beside = paces
    return alone, beside


@pytest.mark.timeout(300)
async def test_b21_hosts_that_stall_cost_only_their_own_images(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow, request: pytest.FixtureRequest
) -> None:
    hosts = request.config.getoption("stalling_hosts", 2_000)
    mixed = other = 0.0
    async with listening(steadily) as good, listening(silence) as bad:
        for attempt in range(3):  # a machine that others use may miss it once
            alone, beside = await compared(hosts, wire, tmp_path / str(attempt), good, bad)
            mixed, other = beside.mixed / alone.mixed, beside.other / alone.other
            if mixed >= 0.8 and other >= 0.95:
                break
        stalled = bad.most_under_way
    told = f"healthy {mixed:.0%}, other customer {other:.0%} of their pace"
    show_row("B21", f"{hosts:,} stalling hosts", told, f"{stalled} at a time")
    assert stalled <= SLOTS // 4, "never-seen hosts have a fifth of all slots"
    assert mixed >= 0.8
    assert other >= 0.95
