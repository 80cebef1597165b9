"""What it costs to decode in children that are watched, beside the same work in one plain process.

    python -m tests.bench.supervision [--seconds 10]

CPU per image, medians over alternating rounds: the plain process, the child and its parent. A child's
start counts, too, spread over the images that it does before it is replaced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from statistics import median
from typing import Final

from PIL import Image
from tests.bench.processes import PROC

from imagelane.core.recipes import RECIPES
from imagelane.processor import messages
from imagelane.processor.decode_process import ENVIRONMENT, DecodeProcess
from imagelane.processor.decoders import Decoders
from imagelane.processor.imaging import process
from imagelane.processor.settings import ProcessorSettings

SETTINGS: Final = ProcessorSettings(children=1)
OUTPUTS: Final = RECIPES["default"].outputs
REQUEST: Final = messages.encode(messages.Request(OUTPUTS, SETTINGS.limits()))
SIZES: Final = {"tiny": (64, 48), "photo of 12 MP": (4_000, 3_000)}
AHEAD: Final = 4
ROUNDS: Final = 5
STARTS: Final = 5
IMAGES_OF_A_SECOND: Final = {"tiny": 1_500, "photo of 12 MP": 15}


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU milliseconds per image."""

    plain: float
    child: float
    parent: float
    start: float

    @property
    def supervision(self) -> float:
        """What the same work without children does not cost."""
        return self.child + self.parent + self.start - self.plain


def main() -> None:
    """Prints a table, and JSON after it. With `--plain` it is the plain process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--plain", metavar="SIZE")
    parser.add_argument("--images", type=int, default=0)
    given = parser.parse_args()
    if given.plain:
        sys.stdout.write(json.dumps(_plain(_photo(SIZES[given.plain]), given.images)))
        return
    costs = {
        name: asyncio.run(_measure(name, max(4, int(given.seconds * per_second / (2 * ROUNDS)))))
        for name, per_second in IMAGES_OF_A_SECOND.items()
    }
    for name, cost in costs.items():
        ratio = 1 + cost.supervision / cost.plain
        parts = "  ".join(f"{part} {ms:.3f}" for part, ms in asdict(cost).items())
        sys.stdout.write(
            f"{name}: {parts}  supervision {cost.supervision:.3f}  ratio {ratio:.3f}\n"
        )
    sys.stdout.write(json.dumps({name: asdict(cost) for name, cost in costs.items()}) + "\n")


async def _measure(name: str, images: int) -> Cost:
    data = _photo(SIZES[name])
    plain, child, parent = [], [], []
    for _ in range(ROUNDS):
        plain.append(_in_a_plain_process(name, images))
        of_child, of_parent = await _supervised(data, images)
        child.append(of_child)
        parent.append(of_parent)
    start = await _start_seconds() * 1_000 / SETTINGS.images_per_child
    return Cost(median(plain), median(child), median(parent), start)


def _in_a_plain_process(name: str, images: int) -> float:
    command = [sys.executable, "-m", __spec__.name, "--plain", name, "--images", str(images)]
    done = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    return float(done.stdout)


def _plain(data: bytes, images: int) -> float:
    with _memory_file(data) as source:
        _decode_once(source)
        before = time.process_time()
        for _ in range(images):
            _decode_once(source)
        return (time.process_time() - before) * 1_000 / images


def _decode_once(source: int) -> None:
    with _memory_file() as target:
        process(source, OUTPUTS, [target], SETTINGS.limits())


async def _supervised(data: bytes, images: int) -> tuple[float, float]:
    """Milliseconds of the child and of its parent, per image."""
    policy = replace(SETTINGS.decoders(), images_per_child=1_000_000)
    decoders = Decoders(policy)
    running = asyncio.create_task(decoders.run())
    source = os.memfd_create("source")
    os.write(source, data)
    await _decode(decoders, source)
    (child,) = decoders.running
    before_child, before = _cpu_seconds(child.process.pid), time.process_time()
    numbers = iter(range(images))

    async def lane() -> None:
        for _ in numbers:
            await _decode(decoders, source)

    await asyncio.gather(*(lane() for _ in range(AHEAD)))
    of_parent = time.process_time() - before
    of_child = _cpu_seconds(child.process.pid) - before_child
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    os.close(source)
    return of_child * 1_000 / images, of_parent * 1_000 / images


async def _decode(decoders: Decoders, source: int) -> None:
    with _memory_file() as target:
        answer = await decoders.decode(REQUEST, [source, target])
        assert isinstance(answer, messages.Made), answer


async def _start_seconds() -> float:
    """CPU of a child that starts and ends, and of what its parent does for that."""
    before = _own_and_reaped()
    for _ in range(STARTS):
        child = await DecodeProcess.start(SETTINGS.decoders().confinement)
        await child.end()
    return (_own_and_reaped() - before) / STARTS


def _own_and_reaped() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _cpu_seconds(pid: int) -> float:
    return int((PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e9


@contextmanager
def _memory_file(data: bytes = b"") -> Iterator[int]:
    descriptor = os.memfd_create("image")
    try:
        os.write(descriptor, data)
        yield descriptor
    finally:
        os.close(descriptor)


def _photo(size: tuple[int, int]) -> bytes:
    """The same bytes every time."""
    columns = Image.linear_gradient("L").resize(size)
    waves = Image.merge("RGB", [columns, columns.transpose(Image.Transpose.ROTATE_180), columns])
    noise = bytes(index * index * 2_654_435_761 >> 13 & 255 for index in range(256 * 256))
    grain = Image.frombytes("L", (256, 256), noise).resize(size).convert("RGB")
    file = BytesIO()
    Image.blend(waves, grain, 0.3).save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    main()
