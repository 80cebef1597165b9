"""What the tracker holds while it reads a long list: `python -m tests.bench.tracker_memory`.

A real broker, the tracker as its own process, and jobs of 70,000 images, 210,000 records each: those of the first
job are there before it starts, those of the others come while it runs. Figures go to build/bench/tracker-memory.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.conftest import CACHE

from imagelane.contracts import events as e
from imagelane.contracts.parts import Original, Output
from imagelane.ops import topics
from imagelane.ops.broker import EmbeddedBroker, broker_home
from imagelane.platform.producer import BY_IMAGE, EventProducer
from imagelane.platform.settings import KafkaSettings
from imagelane.tracking.database import DatabaseSettings
from imagelane.tracking.queries import Queries

IMAGES: Final = 70_000
JOBS: Final = 3
AT_A_TIME: Final = 5_000
LOOK_SECONDS: Final = 0.5
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICKS: Final = os.sysconf("SC_CLK_TCK")
MOST_GROWTH_MB: Final = 40.0
REPORT: Final = Path(__file__).parents[2] / "build" / "bench" / "tracker-memory.json"
SHA256: Final = "0" * 64


def events(job_id: str) -> Iterator[e.Event]:
    """Everything that intake, downloader and processor tell of a job."""
    now = datetime.now(UTC)
    job: dict[str, Any] = {
        "customer_id": "acme",
        "job_id": job_id,
        "recipe": "default",
        "destination": "default",
        "occurred_at": now,
    }
    yield e.JobAccepted(**job)
    for index in range(IMAGES):
        image = {**job, "index": index, "url": f"https://shop.example/products/{index:08}.jpg"}
        yield e.ImageRequested(**image)
        original = Original(key=f"o/{job_id}/{index}", size_bytes=1_400_000, sha256=SHA256)
        yield e.ImageDownloaded(**image, status="ok", seconds=0.2, original=original)
        output = Output(
            name="image",
            url=f"https://cdn.example/{job_id}/{index}/image.jpg",
            content_type="image/jpeg",
            width=1_600,
            height=1_200,
            size_bytes=180_000,
        )
        yield e.ImageProcessed(**image, status="ok", seconds=0.1, outputs=[output])
    yield e.JobSealed(**job, images=IMAGES)


async def produce(kafka: KafkaSettings, job_id: str) -> None:
    producer = EventProducer(kafka, source="/bench", overrides=BY_IMAGE)
    for number, event in enumerate(events(job_id)):
        producer.send(event)
        if number % AT_A_TIME == 0:
            await producer.flush()
    await producer.flush()
    await producer.close()


async def until_read(database: DatabaseSettings, jobs: int, pid: int) -> float:
    """Until everything of so many jobs is read. The most that the tracker held meanwhile, in MB."""
    most = 0.0
    queries = await Queries.open(database)
    done = 0
    while done < jobs:
        await asyncio.sleep(LOOK_SECONDS)
        most = max(most, held_mb(pid))
        page = await queries.jobs()
        done = sum(one.counts.processed == IMAGES for one in page.items)
    await queries.close()
    return most


async def measure(
    kafka: KafkaSettings, database: DatabaseSettings, pid: int
) -> list[dict[str, float]]:
    found = []
    for number in range(JOBS):
        began, cpu = time.monotonic(), cpu_seconds(pid)
        if number:
            await produce(kafka, job_id(number))
        most = await until_read(database, number + 1, pid)
        found.append(
            {
                "jobs": number + 1,
                "most_mb": round(most, 1),
                "then_mb": round(held_mb(pid), 1),
                "seconds": round(time.monotonic() - began, 1),
                "cpu_ms_per_image": round((cpu_seconds(pid) - cpu) * 1_000 / IMAGES, 3),
            }
        )
    return found


def job_id(number: int) -> str:
    return "abcdefgh"[number] * 32


def held_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(kafka: KafkaSettings, folder: Path) -> list[dict[str, float]]:
    database = DatabaseSettings(url=f"sqlite:///{folder}/tracker.db")
    asyncio.run(produce(kafka, job_id(0)))
    settings = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "IMAGELANE_DATABASE__URL": database.url,
    }
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagelane.tracker"], env=settings, stdout=output, stderr=output
        )
    try:
        while "following.begun" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        return asyncio.run(measure(kafka, database, process.pid))
    finally:
        process.terminate()
        process.wait(30)


def main() -> int:
    """1 where it has grown with the number of images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = EmbeddedBroker(broker_home(CACHE, print), folder / "broker")
        broker.start()
        try:
            kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
            assert topics.apply(kafka, lambda _text: None) == []
            found = measured(kafka, folder)
        finally:
            broker.stop()
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write("".join(f"{one}\n" for one in found))
    return int(found[-1]["most_mb"] - found[0]["most_mb"] > MOST_GROWTH_MB)


if __name__ == "__main__":
    raise SystemExit(main())
