"""One process of the bare loop: download, process, hash, write; no queue, no durability, no failures.

Standard input is a pipe that all workers share: each record is the number of a line of the list, and
whoever reads it does it. `ready` is printed before the first one is read, the CPU time at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import aiohttp

from imagelane.core.recipes import RECIPES
from imagelane.processor import imaging
from imagelane.processor.settings import ProcessorSettings

RECORD_BYTES: Final = 8
DOWNLOADS: Final = 4
OUTPUTS: Final = RECIPES["default"].outputs
LIMITS: Final = ProcessorSettings().limits()


def main() -> None:
    """Works until the pipe ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    given = parser.parse_args()
    urls = given.list.read_text().splitlines()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    first = os.read(0, RECORD_BYTES)  # waits for the start
    began = time.process_time()
    asyncio.run(_work(first, urls, given.results))
    sys.stdout.write(json.dumps({"cpu_seconds": time.process_time() - began}) + "\n")


async def _work(first: bytes, urls: list[str], results: Path) -> None:
    firsts = [first]
    with ThreadPoolExecutor(max_workers=1) as thread:
        async with aiohttp.ClientSession() as session:

            async def lane() -> None:
                while record := firsts.pop() if firsts else os.read(0, RECORD_BYTES):
                    number = int(record)
                    async with session.get(urls[number]) as response:
                        response.raise_for_status()
                        data = await response.read()
                    hashlib.sha256(data).hexdigest()
                    loop = asyncio.get_running_loop()
                    await loop.run_in_executor(thread, _process, data, results / f"{number}.jpg")

            await asyncio.gather(*(lane() for _ in range(DOWNLOADS)))


def _process(data: bytes, target: Path) -> None:
    with target.open("wb") as file:
        imaging.process_bytes(data, OUTPUTS, [file.fileno()], LIMITS)


if __name__ == "__main__":
    main()
