"""How long answers take at a million tracked images: `python -m tests.bench.tracker`.

Fills a fresh SQLite file, and a PostgreSQL where there is one, by bulk inserts, and asks the gateway's own
handlers over HTTP. Figures go to build/bench/tracker.json.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web
from pyroaring import BitMap
from sqlalchemy import Engine, insert, text
from tests.postgresql import MISSING, server_programs, serving

from imagelane.contracts import events as e
from imagelane.contracts.image_sets import pack
from imagelane.contracts.keys import KeyRecorded
from imagelane.core.api_keys import KeyRing, sha256_of, token_of
from imagelane.core.failures import Code
from imagelane.gateway.access import Access, Route
from imagelane.gateway.core.recent import Recent
from imagelane.gateway.looking import Looking
from imagelane.gateway.problems import as_problems
from imagelane.gateway.signing import Signing
from imagelane.gateway.standstill import Standstill
from imagelane.gateway.status import TrackedStatus
from imagelane.tracker.core.changes import Changes, Place, Row, milliseconds
from imagelane.tracker.core.fold import fold
from imagelane.tracker.core.jobs import number_of
from imagelane.tracker.ledger import Ledger
from imagelane.tracker.migrating import migrate
from imagelane.tracking import tables as t
from imagelane.tracking.cursors import cursor_after
from imagelane.tracking.database import DatabaseSettings, writing_engine
from imagelane.tracking.steps import Kind

JOBS: Final = ((100_000, 8), (1_000, 180), (1, 20_000))
"""Images of a job, and how many such jobs: a million images in all."""
CUSTOMERS: Final = 10
CHUNK: Final = 10_000
TIMES: Final = 60
LIMIT_MS: Final = 50.0
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
BEGAN: Final = datetime(2026, 11, 1, tzinfo=UTC)
OUTPUT: Final = "image,image.jpg,1600,1200,180000"
REPORT: Final = Path(__file__).parents[2] / "build" / "bench" / "tracker.json"


@dataclass(frozen=True)
class Filled:
    """A job in the database. Every fiftieth of its images has failed."""

    job_id: str
    customer_id: str
    images: int
    at: datetime

    @property
    def all(self) -> BitMap:
        return BitMap(range(self.images))

    @property
    def failed(self) -> BitMap:
        return BitMap(range(10, self.images, 50))


@dataclass
class Keys:
    """One operator's key."""

    complete: bool = True
    ring: KeyRing = field(default_factory=KeyRing)


def some_jobs() -> list[Filled]:
    rng = random.Random(1)
    sizes = [images for images, jobs in JOBS for _ in range(jobs)]
    rng.shuffle(sizes)
    return [
        Filled(
            "".join(rng.choice(LETTERS) for _ in range(32)),
            f"customer-{number % CUSTOMERS}",
            images,
            BEGAN + timedelta(minutes=number),
        )
        for number, images in enumerate(sizes)
    ]


def fill(engine: Engine, jobs: list[Filled]) -> None:
    migrate(engine)
    ledger = Ledger(engine)
    ledger.open()
    for begin in range(0, len(jobs), 500):
        changes = Changes()
        for number, job in enumerate(jobs[begin : begin + 500], begin):
            told(changes, job, number)
        ledger.write(changes, {}, now_ms=1)
    for chunk in chunks(jobs):
        with engine.begin() as connection:
            connection.execute(insert(t.images), [image_row(*one) for one in chunk])
            connection.execute(
                insert(t.image_steps), [row for one in chunk for row in step_rows(*one)]
            )
    if engine.dialect.name == "postgresql":  # as its autovacuum would, a little later
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def told(changes: Changes, job: Filled, number: int) -> None:
    """What is told of the job as a whole, by the tracker's own folding."""
    common: dict[str, Any] = {
        "customer_id": job.customer_id,
        "job_id": job.job_id,
        "occurred_at": job.at,
    }
    kind: dict[str, Any] = {"recipe": "default", "destination": "default"}
    delivered = job.all - job.failed
    for event in (
        e.JobAccepted(**common, **kind, idempotency_key=f"key {number}"),
        e.JobSealed(**common, **kind, images=job.images),
        e.JobRecorded(**common, delivered=pack(delivered), failed=pack(job.failed))
        if job.failed
        else e.JobRecorded(**common, delivered=pack(delivered)),
        e.JobFinished(
            **common,
            images=job.images,
            delivered=len(delivered),
            failed=len(job.failed),
            cancelled=0,
        ),
    ):
        fold(changes, Place("jobs", 0, number), event)
    sets = changes.jobs[job.job_id].sets
    sets.requested, sets.downloaded, sets.processed = job.all, job.all, job.all
    sets.made = delivered
    if job.failed:
        changes.jobs[job.job_id].met[Code.NOT_FOUND.value] = job.failed


def chunks(jobs: list[Filled]) -> Iterator[list[tuple[Filled, int, int]]]:
    chunk: list[tuple[Filled, int, int]] = []
    for job in jobs:
        number = number_of(job.job_id)
        for index in range(job.images):
            chunk.append((job, number, index))
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def image_row(job: Filled, number: int, index: int) -> Row:
    return {
        "number": number,
        "idx": index,
        "url": f"https://images.shop.example/{job.customer_id}/products/{index:08}/front.jpg?v=3",
        "group_name": f"sku-{index // 4}",
        "position": index % 4,
    }


def step_rows(job: Filled, number: int, index: int) -> Iterator[Row]:
    failed = index % 50 == 10
    for step, kind in enumerate(
        (Kind.IMAGE_REQUESTED, Kind.IMAGE_DOWNLOADED, Kind.IMAGE_PROCESSED)
    ):
        yield {
            "number": number,
            "idx": index,
            "kind": kind,
            "partition": number % 12,
            "offset": index,
            "at": milliseconds(job.at) + 100 * step + index,
            "took_ms": 120 if step else None,
            "size_bytes": 1_400_000 if step == 1 and not failed else None,
            "outputs": OUTPUT if step == 2 and not failed else None,
            "code": Code.NOT_FOUND.value if failed and step else None,
            "reason": None,
            "round": None,
        }


def questions(jobs: list[Filled]) -> dict[str, list[str]]:
    """Each asked again and again, about other jobs and places each time."""
    rng = random.Random(2)
    large = [job for job in jobs if job.images == JOBS[0][0]]

    def some(path: str) -> list[str]:
        paths = []
        for _ in range(TIMES):
            job = rng.choice(large)
            index = rng.randrange(job.images)
            cursor = cursor_after(index)
            place = {"job": job.job_id, "customer": job.customer_id, "index": index}
            paths.append(path.format(**place, cursor=cursor))
        return paths

    return {
        "a job": some("/v1/jobs/{job}"),
        "a small job": [f"/v1/jobs/{rng.choice(jobs).job_id}" for _ in range(TIMES)],
        "a job's trail": some("/v1/jobs/{job}/trail"),
        "a page of 100 jobs": some("/v1/jobs?customer_id={customer}"),
        "a page of 100 open jobs": some("/v1/jobs?status=running"),
        "a page of 100 images": some("/v1/jobs/{job}/images"),
        "a page of 100 images, somewhere": some("/v1/jobs/{job}/images?cursor={cursor}"),
        "100 failed images": some("/v1/jobs/{job}/images?status=failed"),
        "100 images by code": some("/v1/jobs/{job}/images?code=not_found"),
        "100 images by text, many": some("/v1/jobs/{job}/images?text=front"),
        "1 image by text, of 100,000": some("/v1/jobs/{job}/images?text=%2F{index:08}%2F"),
        "an image's trail": some("/v1/images/{job}:{index}"),
        "failures of everybody": some("/v1/failures"),
        "a page of lanes": some("/v1/lanes"),
        "a lane": some("/v1/lanes/{customer}"),
    }


async def measure(settings: DatabaseSettings, jobs: list[Filled]) -> dict[str, dict[str, float]]:
    status = TrackedStatus(settings)
    keys, token = an_operator()
    runner = web.AppRunner(application(status, keys), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (address,) = runner.addresses
    found = {}
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{address[1]}", headers=headers) as session:
        for name, paths in questions(jobs).items():
            found[name] = await _times(session, paths)
    await runner.cleanup()
    await status.close()
    return found


def an_operator() -> tuple[Keys, str]:
    keys = Keys()
    key_id, token = token_of(bytes(39))
    keys.ring.fold(
        KeyRecorded(
            key_id=key_id,
            secret_sha256=sha256_of(token),
            scopes=["operate"],
            name="bench",
            occurred_at=BEGAN,
        )
    )
    return keys, token


class Unchanged:
    """Topics as they were made."""

    difference: Final = ""


def application(status: TrackedStatus, keys: Keys) -> web.Application:
    """What the gateway answers questions with, and nothing else of it."""
    looking = Looking(
        status, Recent(max_jobs=10, max_seconds=10), Signing(), Standstill(Unchanged())
    )
    app = web.Application(middlewares=[as_problems])
    access = Access(keys)
    for path, handler in (
        ("/v1/jobs", looking.jobs),
        ("/v1/jobs/{job_id}", looking.job),
        ("/v1/jobs/{job_id}/trail", looking.job_trail),
        ("/v1/jobs/{job_id}/images", looking.images),
        ("/v1/images/{image_id}", looking.image),
        ("/v1/failures", looking.failures),
        ("/v1/lanes", looking.lanes),
        ("/v1/lanes/{customer_id}", looking.lane),
    ):
        app.add_routes([access.opened(Route("GET", path, "read", handler))])
    return app


async def _times(session: aiohttp.ClientSession, paths: list[str]) -> dict[str, float]:
    """CPU is this process's, with SQLite, both ends of HTTP and all; of PostgreSQL it has the client only."""
    times, cpu = [], []
    for path in paths:
        began, began_cpu = time.perf_counter(), time.process_time()
        async with session.get(path) as answer:
            body = await answer.read()
            assert answer.status == 200, body
        times.append((time.perf_counter() - began) * 1_000)
        cpu.append((time.process_time() - began_cpu) * 1_000)
    times.sort()
    return {
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[int(len(times) * 0.95)], 1),
        "least_ms": round(times[0], 1),
        "cpu_ms": round(statistics.median(cpu), 1),
    }


def main() -> int:
    """1 where a job or a page of images took too long."""
    jobs = some_jobs()
    found: dict[str, dict[str, dict[str, float]]] = {}
    with ExitStack() as resources:
        folder = resources.enter_context(tempfile.TemporaryDirectory())
        databases = {"SQLite": DatabaseSettings(url=f"sqlite:///{folder}/tracker.db")}
        programs = server_programs()
        if programs is None:
            sys.stderr.write(f"PostgreSQL is left out: it {MISSING}\n")
        else:
            databases["PostgreSQL"] = resources.enter_context(serving(programs))
        for name, settings in databases.items():
            began = time.perf_counter()
            engine = writing_engine(settings)
            fill(engine, jobs)
            engine.dispose()
            sys.stderr.write(f"{name}: filled in {time.perf_counter() - began:.0f} s\n")
            found[name] = asyncio.run(measure(settings, jobs))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(table(found) + "\n")
    late = [
        f"{database}: {name}"
        for database, answers in found.items()
        for name in ("a job", "a page of 100 images")
        if answers[name]["median_ms"] > LIMIT_MS
    ]
    sys.stderr.write("".join(f"takes too long: {one}\n" for one in late))
    return 1 if late else 0


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """As Markdown, in milliseconds."""
    heads = [f"{name}: median, p95, least, CPU" for name in found]
    lines = ["| answer | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(found)]
    for name in next(iter(found.values())):
        cells = [", ".join(map(str, one[name].values())) for one in found.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
