"""The four things that are measured, each on a stack that already runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import aiohttp
from tests.bench.bare import BareRound, bare_round
from tests.bench.lanes import LaneTimes, lane_times
from tests.bench.processes import Cpu, Peak, watched_memory
from tests.bench.road import Road, RoadRound

from imagelane.ops.local import LocalStack
from imagelane.standin import journal

LANES: Final = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """The pipeline and the bare loop on the same images, in rounds that follow each other."""

    bare: list[BareRound] = field(default_factory=list)
    road: list[RoadRound] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Images per second against the bare loop's: the median over the pairs of rounds."""
        pairs = zip(self.road, self.bare, strict=True)
        return median(road.per_second / bare.per_second for road, bare in pairs)

    def cpu_ms_per_image(self) -> dict[str, Cpu]:
        """Of every part, the medians over the rounds."""
        costs = [one.cpu_ms_per_image for one in self.road]
        return {
            name: Cpu(
                median(one[name].user for one in costs), median(one[name].system for one in costs)
            )
            for name in costs[0]
        }


@dataclass(frozen=True, slots=True)
class Sources:
    """An image server, and the folders that it serves."""

    url: str
    names: Sequence[str]
    lists: Path

    def urls(self, images: int) -> list[str]:
        """So many different URLs over the files that there are."""
        rounds, files = divmod(images, len(self.names))
        return [
            f"{self.url}/{name}?{turn}"
            for turn in range(rounds + 1)
            for name in (self.names if turn < rounds else self.names[:files])
        ]

    def list_url(self, urls: Sequence[str]) -> str:
        """Puts a list on the server."""
        name = f"{len(urls)}.txt"
        (self.lists / name).write_text("\n".join(urls))
        return f"{self.url}/list/{name}"


async def compare(
    road: Road, sources: Sources, folder: Path, *, images: int, rounds: int
) -> Comparison:
    """Rounds of the bare loop and of the pipeline in turn."""
    found = Comparison()
    urls = sources.urls(images)
    list_url = sources.list_url(urls)
    for number in range(rounds):
        found.bare.append(await bare_round(urls, folder / str(number)))
        found.road.append(await road.run(list_url=list_url, images=images))
    return found


async def memory(road: Road, sources: Sources, *, images: int) -> dict[str, Peak]:
    """The peaks of every part while one list of so many images is on the road."""
    list_url = sources.list_url(sources.urls(images))
    async with watched_memory(road.parts()) as seen:
        await road.run(list_url=list_url, images=images)
    return seen.peaks


async def lanes(
    road: Road, stack: LocalStack, sources: Sources, *, images: int, rounds: int
) -> dict[str, list[LaneTimes]]:
    """Several customers at once, in rounds with webhooks and rounds in which polling finds out."""
    found: dict[str, list[LaneTimes]] = {"webhooks": [], "polling": []}
    urls = sources.urls(images)
    for _ in range(rounds):
        for way, times in found.items():
            async with _webhooks(stack, on=way == "webhooks"):
                lists = (road.run(urls, images=images) for _ in range(LANES))
                done = await asyncio.gather(*lists)
            entries = journal.read(stack.journal)
            times += [lane_times(entries, one.customer_id, one.processed_at) for one in done]
    return found


@contextlib.asynccontextmanager
async def _webhooks(stack: LocalStack, *, on: bool) -> AsyncIterator[None]:
    await _set_webhooks(stack, "on" if on else "off")
    try:
        yield
    finally:
        await _set_webhooks(stack, "on")


async def _set_webhooks(stack: LocalStack, value: str) -> None:
    control = stack.batch_api_url.replace("/v1", "/control/faults")
    async with (
        aiohttp.ClientSession() as session,
        session.post(control, json={"webhooks": value}) as answer,
    ):
        answer.raise_for_status()
