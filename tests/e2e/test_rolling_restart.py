"""Two batchers share the customers; each is started anew while lists come in."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from tests.e2e.conftest import options_at
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, Job, Road, started

pytestmark = ON_THE_ROAD

WORKERS: Final = ("batcher-1", "batcher-2")
ASK_SECONDS: Final = 2.0
CUSTOMERS: Final = 6
IMAGES: Final = 150


async def test_two_batchers_started_anew_under_load_lose_and_double_nothing(
    data: Path, images: Images, notes: list[str]
) -> None:
    async with started(options_at(data, workers={"batcher": 2})) as road:
        await both_at_work(road)
        jobs: list[Job] = []
        for round_number, worker in enumerate((*WORKERS, *WORKERS)):
            jobs += [
                await road.submit(
                    f"rolling-{customer}",
                    key=f"list-{round_number}",
                    urls=images.urls(IMAGES, slow=True),
                )
                for customer in range(CUSTOMERS)
            ]
            await road.kill(worker, signal.SIGTERM)
            await both_at_work(road)
        await road.finished(*jobs)
        outcomes = prove(road, *jobs)
        assert {len(one.ok) for one in outcomes.values()} == {IMAGES}
        starts = [road.stack.supervisor.starts[worker] for worker in WORKERS]
        notes.append(
            f"rolling restart: {sum(starts) - 6} batchers left by themselves, and came back"
        )
        assert min(starts) >= 3


async def both_at_work(road: Road) -> None:
    """Both are members of the group, and the group has settled on who has which partitions."""
    kafka = road.stack.kafka
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    name = kafka.group("batcher")

    def shared() -> bool:
        asked = admin.describe_consumer_groups([name], request_timeout=ASK_SECONDS)
        try:
            group = asked[name].result()
        except KafkaException:  # the group, or who coordinates it, is not there yet
            return False
        owned = [len(member.assignment.topic_partitions) for member in group.members]
        return group.state.name == "STABLE" and len(owned) == len(WORKERS) and min(owned) > 0

    await road.until("both batchers at work", shared, 60)
