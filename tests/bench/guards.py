"""What the two walls cost: `python -m tests.bench.guards [--images 4000] [--rounds 5]`.

The same tiny images from the same server, once through the guarded client (admission, resolver, socket check, flood
guard, least pace, deadlines) and once through a bare aiohttp session with the same connection settings. Rounds take
turns; only this process's CPU counts, and the medians are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from statistics import median
from typing import Final

import aiohttp
import uvloop

from imagelane.ops.photos import make_tiny
from imagelane.platform.guarded_http import GuardedClient, HttpGuardSettings

ACCEPT: Final = "image/*"
MAX_BYTES: Final = 1 << 20
AT_A_TIME: Final = 16

Fetch = Callable[[str], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU milliseconds per image."""

    guarded_ms: float
    bare_ms: float

    @property
    def guards_ms(self) -> float:
        """What the guards add."""
        return self.guarded_ms - self.bare_ms


async def cpu_ms(fetch: Fetch, urls: list[str]) -> float:
    """Per image, a few at a time."""
    left = iter(urls)

    async def one_after_the_other() -> None:
        for url in left:
            if await fetch(url) == 0:
                raise RuntimeError(f"{url}: empty")

    before = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_A_TIME):
            tasks.create_task(one_after_the_other())
    return (time.process_time() - before) * 1_000 / len(urls)


async def measure(images: int, rounds: int) -> Cost:
    """Medians of rounds that take turns."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        photos = make_tiny(folder / "tiny", 100)
        base = await _server(stack, photos.folder)
        urls = [f"{base}/{photos.good[at % len(photos.good)]}" for at in range(images)]
        settings = HttpGuardSettings(allowed_networks=(ip_network("127.0.0.0/8"),))
        client = await stack.enter_async_context(GuardedClient(settings))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        )

        async def guarded(url: str) -> int:
            async with client.stream(url, accept=ACCEPT, max_bytes=MAX_BYTES) as body:
                return sum([len(chunk) async for chunk in body.chunks()])

        async def bare(url: str) -> int:
            size = 0
            async with session.get(url, headers={"Accept": ACCEPT}) as response:
                response.raise_for_status()
                while chunk := await response.content.readany():
                    size += len(chunk)
            return size

        taken: dict[Fetch, list[float]] = {guarded: [], bare: []}
        for fetch in taken:
            await cpu_ms(fetch, urls[:200])
        for _ in range(rounds):
            for fetch, figures in taken.items():
                figures.append(await cpu_ms(fetch, urls))
        return Cost(median(taken[guarded]), median(taken[bare]))


async def _server(stack: AsyncExitStack, folder: Path) -> str:
    command = (sys.executable, "-m", "imagelane.ops.image_server", "--folder", str(folder))
    process = await asyncio.create_subprocess_exec(
        *command, "--lists", str(folder), stdout=asyncio.subprocess.PIPE
    )

    async def end() -> None:
        process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    if process.stdout is None:
        raise RuntimeError("the image server has no output")
    return str(json.loads(await process.stdout.readline())["url"])


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.guards", description=__doc__)
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    cost = uvloop.run(measure(given.images, given.rounds))
    told = {
        "guarded_ms": round(cost.guarded_ms, 3),
        "bare_ms": round(cost.bare_ms, 3),
        "guards_ms": round(cost.guards_ms, 3),
        "ratio": round(cost.guarded_ms / cost.bare_ms, 2),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
