"""What the batcher remembers has a bound: many jobs come and go, and nothing grows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs do not re-export them
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from tests.integration.batcher.conftest import (
    ModelDispatcher,
    Road,
    Worker,
    job_id,
    workers,
)
from tests.waiting import wait_until

from imagelane.platform.latest_records import read_records
from imagelane.platform.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]

CHANGELOG = "imagelane-batcher-lanes-changelog"
RETENTION_SECONDS = 10.0  # longer than any record waits for its turn here
ROUNDS = 3
JOBS = 150
IMAGES = 8
MIB = 1024


@pytest.fixture
def quick_cleaner(kafka: KafkaSettings) -> Iterator[None]:
    """The broker compacts the changelog every half second instead of every now and then."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    set_configs(
        admin,
        ConfigResource(ResourceType.TOPIC, kafka.topic(CHANGELOG)),
        {
            "segment.ms": "500",
            "min.cleanable.dirty.ratio": "0.01",
            "delete.retention.ms": "0",
            "max.compaction.lag.ms": "1000",
        },
    )
    (broker,) = admin.list_topics(timeout=10).brokers
    set_configs(
        admin,
        ConfigResource(ResourceType.BROKER, str(broker)),
        {"log.cleaner.backoff.ms": "500"},
    )
    yield
    set_configs(
        admin,
        ConfigResource(ResourceType.BROKER, str(broker)),
        {"log.cleaner.backoff.ms": "15000"},
    )


def set_configs(admin: AdminClient, resource: ConfigResource, configs: dict[str, str]) -> None:
    for name, value in configs.items():
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource.add_incremental_config(entry)
    (answer,) = admin.incremental_alter_configs([resource]).values()
    answer.result(10)


def resident_mib(worker: Worker) -> float:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / MIB


def living(kafka: KafkaSettings) -> set[bytes | None]:
    """The keys that compaction leaves, once it is through: those whose last record has a value."""
    last = {message.key(): message.value() for message in read_records(kafka, CHANGELOG)}
    return {key for key, value in last.items() if value is not None}


def roll_segments(kafka: KafkaSettings) -> None:
    """A record more on each partition: the cleaner leaves the segment alone that is written to."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for partition in range(kafka.strict_partitions):
        producer.produce(kafka.topic(CHANGELOG), key=b"rolled", value=None, partition=partition)
    assert producer.flush(10) == 0


def one_round(road: Road, dispatcher: ModelDispatcher, number: int) -> None:
    """Jobs of new customers, of old ones, and orders for jobs and customers that never were."""
    names = {}
    for one in range(JOBS):
        customer_id = f"customer{one % 7}" if one % 2 else f"customer{number}-{one}"
        names[job_id(number * JOBS + one)] = customer_id
        road.processed(customer_id, job_id(number * JOBS + one), range(IMAGES), failed=[3])
        road.sealed(customer_id, job_id(number * JOBS + one), IMAGES)
    road.flush()
    wait_until(
        lambda: names.keys() <= {one.job_id for one in dispatcher.finished}, "a round is over"
    )


@pytest.mark.usefixtures("quick_cleaner")
def test_many_jobs_leave_changelog_and_memory_as_they_were(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    road = Road(kafka)
    memory: list[float] = []
    kept: list[int] = []
    with (
        workers(
            kafka,
            tmp_path,
            retention_days=str(RETENTION_SECONDS / 86_400),
            first_call_images=str(IMAGES),
            linger_seconds="0.2",
        ) as (worker,),
        ModelDispatcher(road, call_seconds=0.02).at_work() as dispatcher,
    ):
        worker.until_open()
        for number in range(ROUNDS):
            one_round(road, dispatcher, number)
            wait_until(
                lambda: len(living(kafka)) <= kafka.strict_partitions,
                "all is forgotten",
                within_seconds=80.0,
            )
            kept.append(len(living(kafka)))
            memory.append(resident_mib(worker))
        written = sum(end for end in ends(kafka).values())

        def compacted() -> bool:
            roll_segments(kafka)
            time.sleep(1.0)
            return len(list(read_records(kafka, CHANGELOG))) < written / 10

        wait_until(compacted, "compaction", within_seconds=90.0)
        finished = len(dispatcher.finished)
    assert finished == ROUNDS * JOBS
    assert max(kept) <= kafka.strict_partitions  # only that the table was found
    assert memory[-1] - memory[0] < 6.0, memory


def ends(kafka: KafkaSettings) -> dict[int, int]:
    """How many records were ever written to each partition of the changelog."""
    last: dict[int, int] = {}
    for message in read_records(kafka, CHANGELOG):
        last[message.partition() or 0] = (message.offset() or 0) + 1
    return last
