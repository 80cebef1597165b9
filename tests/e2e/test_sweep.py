"""Whatever is dropped on the way, the sweep brings it back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from tests.e2e.conftest import options_at
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, SETTINGS, Road, started

from imagelane.contracts import topics
from imagelane.contracts.events import ImagesMissing
from imagelane.contracts.image_sets import unpack

pytestmark = ON_THE_ROAD

SWEEP = {"IMAGELANE_BATCHER__SWEEP_AFTER_SECONDS": "20"}  # longer than the downloader is away


async def test_the_sweep_brings_back_an_image_that_was_removed_on_the_way(
    data: Path, images: Images
) -> None:
    async with started(options_at(data, environment=SETTINGS | SWEEP)) as road:
        first = await road.submit("swept", key="first", urls=images.urls(60))
        await road.finished(first)
        await road.stack.supervisor.stop("downloader")
        job = await road.submit("swept", key="second", urls=images.urls(60))
        await road.until("all requests", lambda: len(road.seen(topics.REQUESTED, job)) == 120)
        await asyncio.to_thread(skip_one_request, road)
        road.start("downloader")
        await road.finished(job)

        missing: list[ImagesMissing] = road.seen(topics.MISSING, job)
        assert [(one.job_id, one.round, one.images.count) for one in missing] == [
            (road.id_of(job), 1, 1)
        ]
        assert list(unpack(missing[0].images)) == [0]
        again = [one for one in road.seen(topics.REQUESTED, job) if one.round]
        assert [(one.job_id, one.index, one.round) for one in again] == [(road.id_of(job), 0, 1)]
        outcomes = prove(road, first, job)
        assert [len(one.ok) for one in outcomes.values()] == [60, 60]


def skip_one_request(road: Road) -> None:
    """Moves what the downloader has committed past the next record, as a careless operator might."""
    kafka = road.stack.kafka
    name = kafka.topic(topics.REQUESTED)
    group = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": kafka.group("downloader"),
            "enable.auto.commit": False,
        }
    )
    partitions = [TopicPartition(name, number) for number in range(kafka.spread_partitions)]
    (at,) = (one for one in group.committed(partitions, timeout=30) if one.offset >= 0)
    assert at.offset == 60
    moved = TopicPartition(name, at.partition, at.offset + 1)
    group.commit(offsets=[moved], asynchronous=False)
    group.close()
