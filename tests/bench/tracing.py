"""What traces cost: CPU per tiny image without them, at 1 % and at 100 %, on stacks that follow each other.

    python -m tests.bench.tracing [--images 3000] [--rounds 2]

Look at the ratios: the stacks run on the same machine within the same minutes, the off one first and last.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Final

from tests.bench.__main__ import IMAGE_SERVER, _image_server
from tests.bench.parts import Sources
from tests.bench.road import Road
from tests.e2e.collector import collecting

from imagelane.ops.local import SERVICES, LocalOptions, Standin, running
from imagelane.ops.photos import make_tiny

MODES: Final = {"off": "", "1 %": "0.01", "100 %": "1.0", "off again": ""}
WARM_UP: Final = 200
TINY_FILES: Final = 200


async def cost(
    mode: str, folder: Path, cache: Path, *, images: int, rounds: int
) -> dict[str, float]:
    """CPU milliseconds per image, by service, with its children."""
    tiny = make_tiny(folder / "tiny", TINY_FILES)
    lists = folder / "lists"
    lists.mkdir(exist_ok=True)
    async with collecting() as collector, _image_server(tiny.folder, lists) as (url, server):
        environment = {
            "OTEL_TRACES_EXPORTER": "otlp" if MODES[mode] else "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": MODES[mode] or "1.0",
        }
        options = LocalOptions(
            data=folder / mode.replace(" ", "-").replace("%", "percent"),
            cache=cache,
            loopback_sources=True,
            standin=Standin(base_seconds=1.0, per_url_seconds=0.0001, fetch="none"),
            environment=environment,
        )
        async with running(options, tell=_ignore, output=_ignore) as stack:
            road = Road(stack, {IMAGE_SERVER: server})
            sources = Sources(url, tiny.good, lists)
            await road.run(list_url=sources.list_url(sources.urls(WARM_UP)), images=WARM_UP)
            list_url = sources.list_url(sources.urls(images))
            done = [await road.run(list_url=list_url, images=images) for _ in range(rounds)]
            road.close()
        sys.stderr.write(f"{mode}: the collector has {len(collector.spans):,} spans\n")
    totals = dict.fromkeys(SERVICES, 0.0)
    for name in (name for one in done for name in one.cpu_ms_per_image):
        service = name.split("'")[0]
        if service in totals:
            totals[service] = mean(
                sum(
                    cost.total
                    for part, cost in one.cpu_ms_per_image.items()
                    if part.split("'")[0] == service
                )
                for one in done
            )
    return totals


def _ignore(_name: str, _line: str) -> None:
    """Every service's output is in the stack's logs."""


def main() -> None:
    """Prints the table in the shape of docs/performance.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tracing")
    parser.add_argument("--images", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "imagelane")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-tracing-"))
    found = {
        mode: asyncio.run(cost(mode, folder, given.cache, images=given.images, rounds=given.rounds))
        for mode in MODES
    }
    shutil.rmtree(folder)
    off = {name: mean((found["off"][name], found["off again"][name])) for name in SERVICES}
    sys.stdout.write("| CPU ms per tiny image | " + " | ".join(MODES) + " |\n")
    sys.stdout.write("|---|" + "---|" * len(MODES) + "\n")
    for name in (*SERVICES, "together"):
        base = sum(off.values()) if name == "together" else off[name]
        cells = []
        for mode in MODES:
            ms = sum(found[mode].values()) if name == "together" else found[mode][name]
            cells.append(f"{ms:.3f} ({ms / base:.2f})" if base else f"{ms:.3f}")
        sys.stdout.write(f"| {name} | " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    main()
