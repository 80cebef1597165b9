"""`make bench`: what the pipeline costs on this machine, beside a bare loop over the same images.

    python -m tests.bench [--quick] [--output build/bench]

Writes `<output>/bench.json`; photos and the broker's jars are kept for the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench import parts, report
from tests.bench.road import Road

from imagelane.ops.local import LocalOptions, LocalStack, Standin, running
from imagelane.ops.photos import make_photos, make_tiny

IMAGE_SERVER: Final = "image server"
IDLE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    photos: int
    photo_files: int
    tiny: int
    tiny_files: int
    memory: tuple[int, int]
    lane: int
    rounds: int


FULL: Final = Sizes(
    photos=600,
    photo_files=300,
    tiny=10_000,
    tiny_files=1_000,
    memory=(1_000, 20_000),
    lane=3_000,
    rounds=3,
)
QUICK: Final = Sizes(
    photos=60,
    photo_files=60,
    tiny=500,
    tiny_files=100,
    memory=(100, 500),
    lane=300,
    rounds=1,
)


async def measure(sizes: Sizes, folder: Path, cache: Path) -> report.Results:
    """All parts, one after the other, on one stack that is started once."""
    photos = make_photos(folder / f"photos-{sizes.photo_files}", sizes.photo_files)
    tiny = make_tiny(folder / f"tiny-{sizes.tiny_files}", sizes.tiny_files)
    load_before = os.getloadavg()[0]
    work = folder / "run"
    shutil.rmtree(work, ignore_errors=True)
    options = LocalOptions(
        data=work / "stack",
        cache=cache,
        loopback_sources=True,
        # It reads no URLs: it stands for a machine elsewhere, and weighs on none of our cores.
        standin=Standin(base_seconds=1.0, per_url_seconds=0.0001, fetch="none"),
    )
    (work / "lists").mkdir(parents=True)
    async with (
        _image_server(photos.folder, work / "lists") as (photo_url, photo_server),
        _image_server(tiny.folder, work / "lists") as (tiny_url, tiny_server),
        running(options, tell=_tell, output=_ignore) as stack,
    ):
        of_photos = parts.Sources(photo_url, photos.good, work / "lists")
        of_tiny = parts.Sources(tiny_url, tiny.good, work / "lists")
        results = await _measure(
            stack, sizes, work, (of_photos, photo_server), (of_tiny, tiny_server), load_before
        )
    shutil.rmtree(work)
    return results


async def _measure(
    stack: LocalStack,
    sizes: Sizes,
    work: Path,
    photos: tuple[parts.Sources, int],
    tiny: tuple[parts.Sources, int],
    load_before: float,
) -> report.Results:
    small = Road(stack, {IMAGE_SERVER: tiny[1]})
    large = Road(stack, {IMAGE_SERVER: photos[1]})
    _tell("bench", "warming up")
    await small.run(tiny[0].urls(100), images=100)
    _tell("bench", "memory")
    memory = {n: await parts.memory(small, tiny[0], images=n) for n in sizes.memory}
    _tell("bench", "rest")
    idle = await small.idle_ms_per_second(IDLE_SECONDS)
    _tell("bench", "tiny images")
    tinies = await parts.compare(
        small, tiny[0], work / "tiny", images=sizes.tiny, rounds=sizes.rounds
    )
    _tell("bench", "lanes")
    lanes = await parts.lanes(small, stack, tiny[0], images=sizes.lane, rounds=sizes.rounds)
    _tell("bench", "photos")
    await large.run(photos[0].urls(20), images=20)
    compared = await parts.compare(
        large, photos[0], work / "photos", images=sizes.photos, rounds=sizes.rounds
    )
    small.close()
    large.close()
    return report.Results(load_before, idle, memory, tinies, compared, lanes)


@asynccontextmanager
async def _image_server(folder: Path, lists: Path) -> AsyncIterator[tuple[str, int]]:
    """Its address and its process id."""
    command = (sys.executable, "-m", "imagelane.ops.image_server")
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--folder", str(folder), "--lists", str(lists)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the image server has no output")
        yield json.loads(await process.stdout.readline())["url"], process.pid
    finally:
        process.terminate()
        await process.wait()


def _tell(name: str, line: str) -> None:
    sys.stderr.write(f"{name}: {line}\n")


def _ignore(_name: str, _line: str) -> None:
    """Every service's output is in the stack's logs."""


def main() -> None:
    """Measures, prints the tables and writes the file. An error leaves the logs in `<output>/run`."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measures Imagelane."
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "imagelane")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    sizes = QUICK if given.quick else FULL
    results = asyncio.run(measure(sizes, given.output, given.cache))
    told = {"quick": given.quick} | report.as_json(results)
    (given.output / "bench.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(report.as_text(results) + "\n")


if __name__ == "__main__":
    main()
