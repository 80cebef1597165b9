"""`make broken-images`: thousands of broken files through the real maker and its real children.

    python -m tests.hostile.broken_images [--files 10000] [--seed 6] [--keep build/broken-images]

The files are derived from seeds in every format: bits flipped, ends and middles cut off, pieces dropped,
doubled, exchanged and filled with extremes, with checksums put right. Every file must end as a result or
with a code; the supervisor never restarts. What costs a child its life is kept, to be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.hostile.damage import DAMAGES, damaged
from tests.hostile.image_seeds import seeds

from imagelane.contracts.parts import Failure
from imagelane.core.destinations import Destination
from imagelane.core.failures import Code
from imagelane.core.image_formats import ImageFormat
from imagelane.core.recipes import RECIPES, original_key
from imagelane.platform.store import ObjectHeaders
from imagelane.platform.stores import DirectoryStore, Stores
from imagelane.processor.core.work import ImageWork
from imagelane.processor.decoders import Decoders
from imagelane.processor.maker import ImageMaker
from imagelane.processor.settings import ProcessorSettings

SETTINGS: Final = ProcessorSettings(children=2, formats=frozenset(ImageFormat), keep_copyright=True)
JOB: Final = "b" * 32
DESTINATION: Final = Destination("main", "", "https://cdn.example")
HEADERS: Final = ObjectHeaders("application/octet-stream", "no-store")
COST_A_CHILD: Final = frozenset({Code.PROCESSING_CRASH, Code.PROCESSING_TIMEOUT})


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """One file, and how it came to be."""

    number: int
    seed_name: str
    damage: str
    data: bytes


@dataclass(slots=True)
class Figures:
    """What became of all files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    by_format: dict[str, Counter[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    most_memory_bytes: int = 0
    cost_a_child: list[BrokenFile] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Of the seconds that a file took, second tries included."""
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]

    def note(self, file: BrokenFile, outcome: str, seconds: float) -> None:
        """One file has ended."""
        self.outcomes[outcome] += 1
        image_format = file.seed_name.partition(" ")[0]
        self.by_format.setdefault(image_format, Counter())[outcome] += 1
        self.seconds.append(seconds)
        if outcome in COST_A_CHILD:
            self.cost_a_child.append(file)


def broken_files(count: int, seed: int) -> Iterator[BrokenFile]:
    """So many files, the same for the same seed; every seed file meets every damage in turn."""
    rng = random.Random(seed)
    originals = list(seeds().items())
    damages = list(DAMAGES)
    for number in range(count):
        name, data = originals[number % len(originals)]
        damage = damages[number // len(originals) % len(damages)]
        yield BrokenFile(number, name, damage, damaged(data, damage, rng))


async def run(files: Iterator[BrokenFile]) -> Figures:
    """Every file through the maker, as many at once as there are children."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        async with _making(Path(folder), figures) as make:

            async def lane() -> None:
                for file in files:
                    began_at = time.monotonic()
                    outcome = await make(file)
                    figures.note(file, outcome, time.monotonic() - began_at)

            await asyncio.gather(*(lane() for _ in range(SETTINGS.children)))
    return figures


@asynccontextmanager
async def _making(
    folder: Path, figures: Figures
) -> AsyncIterator[Callable[[BrokenFile], asyncio.Future[str]]]:
    (folder / "private").mkdir()
    (folder / "public").mkdir()
    stores = Stores(DirectoryStore(folder / "private"), {"main": DirectoryStore(folder / "public")})
    decoders = Decoders(SETTINGS.decoders())
    maker = ImageMaker(stores, decoders, SETTINGS.limits())
    running = asyncio.create_task(decoders.run())
    recipes = list(RECIPES.values())

    async def make(file: BrokenFile) -> str:
        key = original_key(JOB, file.number)
        await stores.private.put(key, file.data, HEADERS)
        recipe = recipes[file.number % len(recipes)]
        outcome = await maker.make(ImageWork(JOB, file.number, key, recipe, DESTINATION))
        await stores.private.delete(key)
        figures.most_memory_bytes = max(figures.most_memory_bytes, _most_memory_bytes(decoders))
        return outcome.code if isinstance(outcome, Failure) else "ok"

    try:
        yield lambda file: asyncio.ensure_future(make(file))
        if running.done():
            raise RuntimeError("the supervisor ended")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _most_memory_bytes(decoders: Decoders) -> int:
    most = 0
    for child in decoders.running:
        with suppress(FileNotFoundError, ProcessLookupError):
            status = (Path("/proc") / str(child.process.pid) / "status").read_text()
            lines = (line for line in status.splitlines() if line.startswith("VmHWM"))
            most = max(most, *(int(line.split()[1]) * 1_024 for line in lines), 0)
    return most


def main() -> int:
    """Prints the figures; 1 if a file cost a child its life, or one of the promises was broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--keep", type=Path, default=Path("build/broken-images"))
    given = parser.parse_args()
    figures = asyncio.run(run(broken_files(given.files, given.seed)))
    for image_format, outcomes in figures.by_format.items():
        told = ", ".join(f"{code} {count}" for code, count in outcomes.most_common())
        sys.stdout.write(f"{image_format:5} {told}\n")
    p99, longest = figures.percentile(0.99), max(figures.seconds)
    sys.stdout.write(
        f"{sum(figures.outcomes.values())} files, {len(figures.cost_a_child)} cost their children;"
        f" seconds: median {figures.percentile(0.5):.3f}, p99 {p99:.3f}, longest {longest:.3f};"
        f" most memory of a child {figures.most_memory_bytes >> 20} MB\n"
    )
    for file in figures.cost_a_child:
        given.keep.mkdir(parents=True, exist_ok=True)
        kept = given.keep / hashlib.sha256(file.data).hexdigest()[:16]
        kept.write_bytes(file.data)
        sys.stdout.write(f"{kept}: {file.seed_name}, {file.damage}\n")
    is_well = p99 < 2 and figures.most_memory_bytes < SETTINGS.memory_bytes
    return 0 if is_well and not figures.cost_a_child else 1


if __name__ == "__main__":
    sys.exit(main())
