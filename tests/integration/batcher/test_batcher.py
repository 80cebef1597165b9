"""The batcher on a real broker: every image in one call or one record of failure, whatever happens."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs do not re-export them
    AdminClient,
    NewTopic,
)
from tests.integration.batcher.conftest import (
    ModelDispatcher,
    Road,
    job_id,
    now,
    workers,
)
from tests.integration.dead_letters import letters_of
from tests.waiting import wait_until

from imagelane.batcher.leaving import Exit
from imagelane.contracts import codec
from imagelane.contracts import events as e
from imagelane.contracts import parts as p
from imagelane.core.partitioning import partition_of
from imagelane.platform.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

CHANGELOG = "imagelane-batcher-lanes-changelog"


def make_anew(kafka: KafkaSettings, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    name = kafka.topic(topic)
    config = {"cleanup.policy": "compact"} if topic == CHANGELOG else {}
    for future in admin.delete_topics([name]).values():
        future.result()
    wait_until(lambda: name not in admin.list_topics().topics, "topic deleted")
    for future in admin.create_topics(
        [NewTopic(name, kafka.strict_partitions, 1, config=config)]
    ).values():
        future.result()
    wait_until(lambda: name in admin.list_topics().topics, "topic made")


def place_before(letter: Message) -> int:
    """Where the record was; letters of different batches may overtake each other."""
    return int(dict(letter.headers() or [])["__dlq.errors.offset"] or 0)


def test_jobs_of_several_customers_end_with_right_counts(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    road = Road(kafka)
    with workers(kafka, tmp_path) as (worker,), ModelDispatcher(road).at_work() as dispatcher:
        for number, customer_id in enumerate(("acme", "b/c", "中文")):
            job = job_id(number)
            road.processed(customer_id, job, range(300), failed=range(0, 300, 30))
            road.sealed(customer_id, job, 300)
        wait_until(lambda: len(dispatcher.finished) == 3, "three jobs finished")
        assert {(one.images, one.delivered, one.failed) for one in dispatcher.finished} == {
            (300, 290, 10)
        }
        assert dispatcher.images_in_two_calls() == 0
        assert worker.end() == 0


def test_a_worker_that_is_killed_goes_on_where_it_was(kafka: KafkaSettings, tmp_path: Path) -> None:
    road, job = Road(kafka), job_id(1)
    with (
        workers(kafka, tmp_path) as (worker,),
        ModelDispatcher(road, call_seconds=0.5).at_work() as dispatcher,
    ):
        for part in range(8):
            road.processed("acme", job, range(part * 500, part * 500 + 500))
            road.flush()
            if part in (2, 5):
                wait_until(lambda: bool(dispatcher.calls), "a call")
                worker.end(signal.SIGKILL)
                worker.start()
            time.sleep(0.2)
        road.sealed("acme", job, 4_000)
        wait_until(lambda: bool(dispatcher.finished), "job finished")
        assert dispatcher.finished[0].delivered == 4_000
        assert dispatcher.images_in_two_calls() == 0


def test_records_that_cannot_be_read_become_dead_letters_and_nothing_else_suffers(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    road, job = Road(kafka), job_id(1)
    home = partition_of(b"acme", kafka.strict_partitions)
    elsewhere = (home + 1) % kafka.strict_partitions
    refused = e.JobRefused(
        customer_id="acme",
        job_id=job,
        failure=p.Failure(code="list_empty", reason="none"),
        occurred_at=now(),
    )
    broken = e.CallCompleted(
        customer_id="acme",
        seq=1,
        last_seq=1,
        status="completed",
        images=1,
        jobs=[p.JobOutcome(job_id=job, delivered=p.ImageSet(count=1, bitmap="!"))],
        occurred_at=now(),
    )
    with workers(kafka, tmp_path), ModelDispatcher(road).at_work() as dispatcher:
        road.send_bytes("processed", b"acme", b"{no json", home)
        road.send_bytes("processed", b"acme", None, home)
        road.send_bytes("processed", None, b"\xff\x00", home)
        road.send_bytes("processed", b"acme", b"[" * 100_000, home)
        road.send_bytes("processed", b"acme", b"9" * 990_000, home)
        road.send_bytes("jobs", b"acme", codec.encode(refused), elsewhere)
        road.send_bytes("jobs", b"other", codec.encode(refused), home)
        road.send(broken)
        road.processed("acme", job, range(3))
        road.sealed("acme", job, 3)
        wait_until(lambda: bool(dispatcher.finished), "job finished")
        letters = sorted(letters_of(kafka, "processed", count=5), key=place_before)
        assert [letter.value() for letter in letters] == [
            b"{no json",
            None,
            b"\xff\x00",
            b"[" * 100_000,
            b"9" * 990_000,
        ]
        assert [letter.key() for letter in letters[:3]] == [b"acme", b"acme", None]
        headers = dict(letters[0].headers() or [])
        assert headers["h"] == b"1"
        assert headers["__dlq.errors.partition"] == str(home).encode()
        assert headers["__dlq.errors.offset"] == b"0"
        assert len(letters_of(kafka, "jobs", count=2)) == 2
        assert len(letters_of(kafka, "completed", count=1)) == 1


def test_a_lost_table_is_noticed_and_caught_up_from_the_answers(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    road, job, done = Road(kafka), job_id(1), job_id(2)
    with workers(kafka, tmp_path) as (worker,), ModelDispatcher(road).at_work() as dispatcher:
        road.processed("acme", done, range(50))
        road.sealed("acme", done, 50)
        road.processed("acme", job, range(500))
        wait_until(lambda: len(dispatcher.delivered("acme", job)) == 500, "half is delivered")
        time.sleep(2.0)  # so that offsets are committed
        assert worker.end() == 0
        make_anew(kafka, CHANGELOG)
        worker.start()
        assert worker.process.wait(30) == Exit.TABLE_LOST
        worker.start()
        road.processed("acme", job, range(500, 1_000))
        road.sealed("acme", job, 1_000)
        wait_until(lambda: any(one.job_id == job for one in dispatcher.finished), "job finished")
        assert dispatcher.images_in_two_calls() == 0
        assert {one.delivered for one in dispatcher.finished if one.job_id == job} == {1_000}
        assert {one.delivered for one in dispatcher.finished if one.job_id == done} == {50}


def test_offsets_that_the_topic_does_not_have_stop_the_worker(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    group = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": kafka.group("batcher")}
    )
    group.commit(offsets=[TopicPartition(kafka.topic("processed"), 1, 1_000)], asynchronous=False)
    group.close()
    with workers(kafka, tmp_path) as (worker,):
        assert worker.process.wait(30) == Exit.FOREIGN_RECORDS
        assert json.loads(worker.log.read_text().splitlines()[-1])["committed"] == 1_000


def test_a_topic_with_another_number_of_partitions_stops_the_worker(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    other = kafka.model_copy(update={"strict_partitions": 2})
    with workers(other, tmp_path) as (worker,):
        assert worker.process.wait(30) == Exit.WRONG_PARTITIONS
        left = json.loads(worker.log.read_text().splitlines()[-1])
        assert "STRICT_PARTITIONS says 2" in left["reason"]
        assert "says 4 partitions" in left["reason"]


def test_images_that_wait_are_asked_for_after_the_linger_time(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    road = Road(kafka)
    with workers(kafka, tmp_path) as (worker,), ModelDispatcher(road).at_work() as dispatcher:
        worker.until_open()
        begun = time.monotonic()
        road.processed("acme", job_id(1), [7])
        road.flush()
        wait_until(lambda: bool(dispatcher.calls), "a call")
        assert time.monotonic() - begun > 0.8
