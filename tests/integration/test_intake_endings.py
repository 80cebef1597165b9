"""Intake on a real broker at the end of jobs: stopped, deleted, forgotten; and all of it again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.conftest import STRICT_PARTITIONS
from tests.integration.test_intake import (
    Topics,
    intake_running,
    submit,
    topics,
    urls,
)
from tests.waiting import eventually_found

from imagelane.contracts.codec import decode
from imagelane.contracts.commands import CancelCustomer, DeleteCustomer, DeleteJob
from imagelane.contracts.events import Event, JobAccepted, JobFinished, JobRefused, JobSealed
from imagelane.contracts.topics import NOTICES
from imagelane.core.partitioning import partition_of
from imagelane.core.recipes import list_key, original_key
from imagelane.intake import app
from imagelane.platform.latest_records import latest_records
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings

__all__ = ["topics"]

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

DAY_SECONDS = 86_400.0


def finished(customer_id: str, job_id: str, images: int) -> JobFinished:
    """As the batcher tells it."""
    return JobFinished(
        customer_id=customer_id,
        job_id=job_id,
        images=images,
        delivered=images,
        failed=0,
        cancelled=0,
        occurred_at=datetime.now(UTC),
    )


def delete_job(customer_id: str, job_id: str) -> DeleteJob:
    return DeleteJob(
        customer_id=customer_id, job_id=job_id, decided_by="ops", occurred_at=datetime.now(UTC)
    )


async def tell(kafka: KafkaSettings, *events: Event) -> None:
    producer = EventProducer(kafka, source="/tests")
    for event in events:
        await producer.send(event)
    await producer.close()


def read_again(kafka: KafkaSettings, service: str, *names: str) -> None:
    """Sets a group that has no members back to the beginning of these topics."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    places = [
        TopicPartition(kafka.topic(name), number, 0)
        for name in names
        for number in range(kafka.strict_partitions)
    ]
    request = ConsumerGroupTopicPartitions(kafka.group(service), places)
    (answer,) = admin.alter_consumer_group_offsets([request]).values()
    answer.result(10)


def objects(folder: Path) -> set[str]:
    """What lies in the stores."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def leave_images(folder: Path, job_id: str, count: int) -> None:
    """As if the downloader and the processor had been at work."""
    for index in range(count):
        for path in (
            f"private/{original_key(job_id, index)}",
            f"public/{job_id}/{index}/image.jpg",
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(b"pixels")


async def accepted(topics: Topics, customer_id: str) -> str:
    def found() -> list[Any]:
        return [one for one in topics.jobs_of(JobAccepted) if one.customer_id == customer_id]

    await eventually_found(lambda: bool(found()))
    return str(found()[0].job_id)


async def test_a_deleted_job_stops_ends_and_leaves_nothing_whatever_is_read_again(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    submitted = {"customer_id": "acme", "urls": urls(3_000), "idempotency_key": "k"}
    key_of = "private/" + "{}.finished"
    async with intake_running(kafka, tmp_path, max_unread=1_000, chunk_images=250) as producer:
        await submit(producer, submitted)
        job_id = await accepted(topics, "acme")
        key = list_key("acme", job_id)
        await eventually_found(lambda: sum(topics.ends("requested").values()) == 1_000)
        await producer.send(delete_job("acme", job_id))
        await eventually_found((tmp_path / f"private/{key}.deleted").exists)
        await asyncio.sleep(1.0)
        topics.commit_all("downloader", "requested")
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
        requested = len(topics.requested())
        assert requested <= 1_500
        assert topics.jobs_of(JobSealed)[0].images == 3_000

        leave_images(tmp_path, job_id, 3)
        await producer.send_bytes("downloaded", key=b"acme", value=b"{}", headers=[])
        await producer.send(finished("acme", job_id, 3_000))
        topics.commit_all("downloader", "requested")
        await eventually_found((tmp_path / key_of.format(key)).exists)
        await asyncio.sleep(0.5)
        assert len(objects(tmp_path)) == 3 + 3 + 5  # the processor may be at work on some of it
        topics.commit_all("processor", "downloaded")
        await eventually_found(lambda: objects(tmp_path) == {key_of.format(key)})

    before = len(topics.jobs()), requested
    for service, names in (("intake", ["urls"]), ("intake-orders", ["commands", "finished"])):
        read_again(kafka, service, *names)
    async with intake_running(kafka, tmp_path) as producer:
        await submit(producer, {"customer_id": "last", "urls": urls(1)})
        await accepted(topics, "last")
        await eventually_found(lambda: objects(tmp_path) >= {key_of.format(key)})
        await submit(producer, submitted)
        await eventually_found(lambda: bool(topics.jobs_of(JobRefused)))
    (refused,) = topics.jobs_of(JobRefused)
    assert refused.failure.code == "job_deleted"
    assert refused.job_id != job_id
    assert len([one for one in topics.jobs() if one.customer_id == "acme"]) == before[0] + 1
    assert len([one for one in topics.requested() if one.job_id == job_id]) == before[1]


async def test_what_a_customer_handed_in_before_the_deletion_is_never_requested(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    producer = EventProducer(kafka, source="/tests")
    await submit(producer, {"customer_id": "a/b", "urls": urls(50), "idempotency_key": "before"})
    await submit(producer, {"customer_id": "other", "urls": urls(5)})
    await asyncio.sleep(0.2)
    decided_at = datetime.now(UTC)
    command = DeleteCustomer(customer_id="a/b", decided_by="ops", occurred_at=decided_at)
    await producer.send(command)
    await asyncio.sleep(0.2)
    await submit(producer, {"customer_id": "a/b", "urls": urls(7), "idempotency_key": "after"})
    await producer.close()
    async with intake_running(kafka, tmp_path):
        await eventually_found((tmp_path / "private/orders/a_2fb").exists)
        await eventually_found(lambda: len({one.job_id for one in topics.jobs_of(JobSealed)}) == 3)
    by_key = {one.idempotency_key: one for one in topics.jobs_of(JobAccepted)}
    assert by_key["before"].handed_in_at <= decided_at < by_key["after"].handed_in_at
    requested = [one.job_id for one in topics.requested() if one.customer_id == "a/b"]
    # The order and the list come by different topics: what was requested before it came is no matter.
    assert requested.count(by_key["after"].job_id) == 7
    async with intake_running(kafka, tmp_path) as producer:
        for one in by_key.values():
            await producer.send(finished(one.customer_id, one.job_id, 1))
        topics.commit_all("downloader", "requested")
        deleted = f"private/{list_key('a/b', by_key['before'].job_id)}"
        kept = f"private/{list_key('a/b', by_key['after'].job_id)}"
        await eventually_found(
            lambda: {f"{deleted}.finished", f"{kept}.finished"} <= objects(tmp_path)
        )
        await eventually_found(lambda: deleted not in objects(tmp_path))
    assert {kept, f"{kept}.sealed", f"{kept}.finished"} <= objects(tmp_path)


async def test_a_cancelled_customers_waiting_lists_are_sealed_unrequested(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    limits = {"max_unread": 100, "chunk_images": 50, "active_lists_per_customer": 1}
    async with intake_running(kafka, tmp_path, **limits) as producer:
        for number in range(3):
            await submit(
                producer,
                {"customer_id": "acme", "urls": urls(200), "idempotency_key": str(number)},
            )
        await eventually_found(lambda: len(topics.jobs_of(JobAccepted)) == 3)
        await eventually_found(lambda: sum(topics.ends("requested").values()) == 100)
        await producer.send(
            CancelCustomer(customer_id="acme", decided_by="ops", occurred_at=datetime.now(UTC))
        )
        folder = tmp_path / "private/lists/acme"
        await eventually_found(lambda: len(list(folder.glob("*.stopped"))) == 3)
        await asyncio.sleep(1.0)
        topics.commit_all("downloader", "requested")
        await eventually_found(lambda: len(topics.jobs_of(JobSealed)) == 3)
    assert {one.images for one in topics.jobs_of(JobSealed)} == {200}
    assert len(topics.requested()) <= 150


async def test_requesting_stops_at_the_deadline(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=6)
    async with intake_running(kafka, tmp_path, max_unread=100, chunk_images=50) as producer:
        await submit(
            producer,
            {"customer_id": "acme", "urls": urls(1_000), "deadline": deadline.isoformat()},
        )
        await eventually_found(lambda: sum(topics.ends("requested").values()) == 100)
        assert topics.jobs_of(JobAccepted)[0].deadline == deadline
        await eventually_found(lambda: datetime.now(UTC) > deadline)
        topics.commit_all("downloader", "requested")
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    (sealed,) = topics.jobs_of(JobSealed)
    assert (sealed.images, sealed.deadline) == (1_000, deadline)
    assert len(topics.requested()) <= 200


@pytest.fixture
def retention_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which intake refuses otherwise: its topics keep their records for longer."""
    monkeypatch.setattr(app, "check_retention", lambda _settings, _files: None)


@pytest.mark.usefixtures("retention_of_seconds")
async def test_a_key_is_known_for_the_retention_and_then_begins_a_new_job(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    submitted = {"customer_id": "acme", "urls": urls(3), "idempotency_key": "k"}
    settings = {"retention_days": 8.0 / DAY_SECONDS, "tidy_every_seconds": 0.5}
    async with intake_running(kafka, tmp_path, **settings) as producer:
        await submit(producer, submitted)
        await submit(producer, {"customer_id": "slow", "urls": urls(3)})
        await eventually_found(lambda: len({one.job_id for one in topics.jobs_of(JobSealed)}) == 2)
        job_id = await accepted(topics, "acme")
        slow = f"private/{list_key('slow', await accepted(topics, 'slow'))}"
        leave_images(tmp_path, job_id, 3)
        await producer.send(finished("acme", job_id, 3))
        await eventually_found((tmp_path / f"private/{list_key('acme', job_id)}.finished").exists)
        await submit(producer, submitted)
        results = {f"public/{job_id}/{index}/image.jpg" for index in range(3)}
        await eventually_found(lambda: objects(tmp_path) == results | {slow, f"{slow}.sealed"})
        assert len([one for one in topics.requested() if one.customer_id == "acme"]) == 3

        await submit(producer, submitted)
        await eventually_found(lambda: len(topics.requested()) == 9)
    again = [one for one in topics.jobs_of(JobAccepted) if one.customer_id == "acme"]
    assert [one.job_id for one in again] == [job_id, job_id]


@pytest.mark.usefixtures("retention_of_seconds")
async def test_records_that_are_older_than_the_retention_begin_no_job(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    producer = EventProducer(kafka, source="/tests")
    await submit(producer, {"customer_id": "acme", "urls": urls(3), "idempotency_key": "k"})
    await producer.close()
    await asyncio.sleep(2.5)
    async with intake_running(kafka, tmp_path, retention_days=2.0 / DAY_SECONDS):
        await eventually_found(lambda: bool(topics.jobs_of(JobRefused)))
    (refused,) = topics.jobs()
    assert (refused.failure.code, refused.idempotency_key) == ("submission_too_old", "k")
    assert objects(tmp_path) == set()


async def test_everything_read_again_requests_nothing_and_accepts_nothing_anew(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    async with intake_running(kafka, tmp_path) as producer:
        for number in range(5):
            await submit(producer, {"customer_id": f"c{number}", "urls": urls(20)})
        await eventually_found(lambda: len(topics.jobs_of(JobSealed)) == 5)
        for one in topics.jobs_of(JobSealed)[:3]:
            await producer.send(finished(one.customer_id, one.job_id, 20))
        marks = tmp_path / "private/lists"
        await eventually_found(lambda: len(list(marks.rglob("*.finished"))) == 3)
    before = objects(tmp_path), len(topics.jobs()), len(topics.requested())
    read_again(kafka, "intake", "urls")
    read_again(kafka, "intake-orders", "missing", "commands", "finished")
    async with intake_running(kafka, tmp_path) as producer:
        await submit(producer, {"customer_id": "last", "urls": urls(1)})
        await eventually_found(
            lambda: bool([one for one in topics.jobs_of(JobSealed) if one.images == 1])
        )
        await asyncio.sleep(0.5)
    after = objects(tmp_path), len(topics.jobs()), len(topics.requested())
    assert (after[1], after[2]) == (before[1] + 2, before[2] + 1)
    assert len(after[0] - before[0]) == 2


async def test_who_wants_to_hear_of_a_jobs_end_has_a_notice_on_the_customers_partition(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    said = {"customer_id": "acme", "notify_url": "https://shop.example/hook"}
    async with intake_running(kafka, tmp_path) as producer:
        await submit(producer, {**said, "urls": urls(2), "idempotency_key": "k"})
        await submit(producer, {**said, "urls": urls(2), "idempotency_key": "r", "recipe": "sepia"})
        job_id = await accepted(topics, "acme")
        for _ in range(2):
            await producer.send(finished("acme", job_id, 2))
        mark = tmp_path / f"private/{list_key('acme', job_id)}.finished"
        await eventually_found(lambda: mark.exists() and bool(topics.jobs_of(JobRefused)))
        await eventually_found(lambda: len(latest_records(kafka, NOTICES)) == 2)
    found = latest_records(kafka, NOTICES)
    assert {partition for partition, _ in found} == {partition_of(b"acme", STRICT_PARTITIONS)}
    notices = {one.about: one for one in (decode(NOTICES, value) for value in found.values())}
    assert notices["finished"].finished.job_id == job_id
    assert notices["finished"].finished.idempotency_key == "k"
    assert notices["refused"].refused.failure.code == "unknown_recipe"
    assert {one.state for one in notices.values()} == {"pending"}
