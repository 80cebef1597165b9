"""The bound: the same images by a bare loop, in one process per core."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.bare_worker import RECORD_BYTES

from imagelane.processor.decode_process import ENVIRONMENT

ROUND_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class BareRound:
    """One pass over the list."""

    images: int
    seconds: float
    cpu_ms_per_image: float

    @property
    def per_second(self) -> float:
        """Images per second."""
        return self.images / self.seconds


async def bare_round(urls: Sequence[str], folder: Path) -> BareRound:
    """Downloads, processes and writes every image of the list into `folder`, which must be new.

    The results stay: ext4 goes round files deleted lately, so that thousands of them would make the
    next round's files dearer. Raises `RuntimeError` when a worker fails or an image is missing.
    """
    results = folder / "results"
    results.mkdir(parents=True)
    lines = folder / "list.txt"
    lines.write_text("\n".join(urls))
    records, feed = os.pipe()
    try:
        workers = [await _start(records, lines, results) for _ in os.sched_getaffinity(0)]
        began = time.monotonic()
        os.write(feed, b"".join(b"%0*d" % (RECORD_BYTES, n) for n in range(len(urls))))
        os.close(feed)
        async with asyncio.timeout(ROUND_SECONDS):
            said = [(await worker.communicate())[0] for worker in workers]
        seconds = time.monotonic() - began
    finally:
        os.close(records)
    written = sum(1 for one in results.iterdir() if one.stat().st_size)
    if any(worker.returncode for worker in workers) or written != len(urls):
        raise RuntimeError(f"the bare loop wrote {written} of {len(urls)} images")
    cpu_seconds = sum(json.loads(line)["cpu_seconds"] for line in said)
    return BareRound(len(urls), seconds, cpu_seconds / len(urls) * 1_000)


async def _start(records: int, lines: Path, results: Path) -> asyncio.subprocess.Process:
    # `env`, so that the memory allocator is tuned as in the decode children.
    tuned = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    command = (sys.executable, "-m", "tests.bench.bare_worker")
    arguments = ("--list", str(lines), "--results", str(results))
    worker = await asyncio.create_subprocess_exec(
        "env", *tuned, *command, *arguments, stdin=records, stdout=asyncio.subprocess.PIPE
    )
    if worker.stdout is None or await worker.stdout.readline() != b"ready\n":
        raise RuntimeError("a worker of the bare loop did not start")
    return worker
