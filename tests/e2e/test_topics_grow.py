"""Topics get more partitions: by a drained migration, and by an operator's mistake in the middle of a job."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    NewPartitions,
)
from tests.e2e.conftest import options_at
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.records import Records
from tests.e2e.road import ON_THE_ROAD, Job, Road, started

from imagelane.contracts import topics
from imagelane.ops.local import programs

pytestmark = ON_THE_ROAD

BEFORE: Final = 4
BY_COMMAND: Final = 6
BY_HAND: Final = 8
CUSTOMERS: Final = [f"moved-{number}" for number in range(5)]
IMAGES: Final = 60
SLOW_IMAGES: Final = 350
STAYS: Final = frozenset({"kafka", "standin"})
QUIET_SECONDS: Final = 4.0
MEMBER_SECONDS: Final = 90  # a killed process stays a member of its group until its session ends


async def test_migrations_lose_and_double_nothing_drained_or_with_open_jobs(
    data: Path, images: Images, notes: list[str]
) -> None:
    async with started(options_at(data, strict_partitions=BEFORE)) as road:
        jobs = await migrated_when_drained(road, images, notes)
        jobs += await mended_after_a_topic_was_grown_by_hand(road, images, notes)
        outcomes = prove(road, *jobs)
        assert sorted({len(one.ok) for one in outcomes.values()}) == [IMAGES, SLOW_IMAGES]


async def migrated_when_drained(road: Road, images: Images, notes: list[str]) -> list[Job]:
    """What was decided before holds after it: the same lists again lead to no call."""
    before = [await submitted(road, images, customer, "one") for customer in CUSTOMERS]
    await road.finished(*before)
    calls = {job.customer: len(road.calls(job.customer)) for job in before}
    refused, words = await migrate(road, BY_COMMAND)
    assert refused == 1
    assert "services are running; stop all of them" in words
    assert "imagelane-dispatcher" in words

    await stop_services(road)
    began = time.monotonic()
    code, words = await migrate(road, BY_COMMAND)
    assert code == 0, words
    notes.append(f"migration, {len(CUSTOMERS)} customers: {time.monotonic() - began:.1f} s")
    start_services(road, BY_COMMAND)

    again = [await submitted(road, images, customer, "one") for customer in CUSTOMERS]
    assert again == before
    after = [await submitted(road, images, customer, "two") for customer in CUSTOMERS]
    await road.finished(*after)
    for job in after:
        later = road.calls(job.customer)[calls[job.customer] :]
        assert later
        assert all(f"/{road.id_of(job)}/" in url for call in later for url in call.urls)
    return before + after


async def mended_after_a_topic_was_grown_by_hand(
    road: Road, images: Images, notes: list[str]
) -> list[Job]:
    """The lanes stand still in the middle of their jobs, and go on after a migration."""
    urls = images.urls(SLOW_IMAGES, slow=True)
    jobs = [await road.submit(customer, key="slow", urls=urls) for customer in CUSTOMERS]
    sent = calls_of(road, jobs)
    await road.until("a call", lambda: calls_of(road, jobs) > sent)
    await grow(road, topics.BATCHES, BY_HAND)
    await road.until("the lanes' hold", lambda: "lanes.held" in log_of(road, "dispatcher"), 30)
    held = calls_of(road, jobs)
    words = (
        f"batches has {BY_HAND} partitions, IMAGELANE_KAFKA__STRICT_PARTITIONS says {BY_COMMAND}"
    )
    assert words in log_of(road, "dispatcher")
    await asyncio.sleep(QUIET_SECONDS)
    assert calls_of(road, jobs) == held
    await road.until("the batcher's end", lambda: '"code": 76' in log_of(road, "batcher"), 30)
    assert not all(road.finish_of(job) for job in jobs)

    await stop_services(road)
    refused = await migrate(road, BY_HAND)
    for _ in range(MEMBER_SECONDS):
        if refused[1].startswith("services are running"):
            await asyncio.sleep(1)
            refused = await migrate(road, BY_HAND)
    assert refused[0] == 1
    assert "the road is not drained" in refused[1]
    code, words = await migrate(road, BY_HAND, "--with-open-jobs")
    assert code == 0, words
    notes.append(f"mended with open jobs: {'; '.join(words.splitlines()[:-1])}")
    start_services(road, BY_HAND)
    await road.finished(*jobs)
    return jobs


async def submitted(road: Road, images: Images, customer: str, key: str) -> Job:
    return await road.submit(customer, key=key, urls=images.urls(IMAGES))


async def stop_services(road: Road) -> None:
    names = [name for name in road.stack.supervisor.starts if name not in STAYS]
    await asyncio.gather(*map(road.stack.supervisor.stop, names))


def start_services(road: Road, partitions: int) -> None:
    """With the new number of partitions in their settings, and in the eyes of the test."""
    counts = {"strict_partitions": partitions, "spread_partitions": partitions}
    road.stack = replace(road.stack, kafka=road.stack.kafka.model_copy(update=counts))
    data = road.stack.options.data
    ports: dict[str, int] = json.loads((data / "ports.json").read_text())
    keys = {path.name: path for path in (data / "secrets").iterdir()}
    for program in programs(road.stack, ports, keys):
        if program.name not in STAYS:
            road.stack.supervisor.start(program)
    road.records.close()
    road.records = Records(road.stack.kafka)


async def migrate(road: Road, partitions: int, *options: str) -> tuple[int, str]:
    """The command's exit code, and what it said."""
    kafka = road.stack.kafka
    environment = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "IMAGELANE_KAFKA__STRICT_PARTITIONS": str(partitions),
        "IMAGELANE_KAFKA__SPREAD_PARTITIONS": str(partitions),
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("imagelane")),
        *("topics", "migrate", "--yes", *options),
        env={**os.environ, **environment},  # noqa: TID251 - the command inherits ours
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def grow(road: Road, topic: str, partitions: int) -> None:
    servers = road.stack.kafka.bootstrap_servers
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    for answer in admin.create_partitions([NewPartitions(topic, partitions)]).values():
        await asyncio.wrap_future(answer)


def calls_of(road: Road, jobs: list[Job]) -> int:
    return sum(len(road.calls(job.customer)) for job in jobs)


def log_of(road: Road, service: str) -> str:
    return (road.stack.logs / f"{service}.log").read_text()
