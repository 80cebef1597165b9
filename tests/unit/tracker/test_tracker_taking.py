"""Records as they come: what cannot be read is written down, and stops nothing."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.unit.tracker.conftest import Write, rows_in
from tests.unit.tracker.life import BEGIN, Broker, accept, some_job

from imagelane.contracts import events as e
from imagelane.contracts.codec import Headers, encode
from imagelane.contracts.image_sets import pack
from imagelane.contracts.parts import Failure, ImageSet, SettledImages
from imagelane.contracts.topics import BATCHES, CALLS, FINISHED, JOBS, PROCESSED, REQUESTED
from imagelane.core.partitioning import partition_of
from imagelane.platform.dead_letters import dead_letter_headers
from imagelane.platform.records import Record
from imagelane.tracker.core.changes import Changes
from imagelane.tracker.core.taking import take
from imagelane.tracking.queries import Queries

JOB = "a" * 32
TIME: dict[str, Any] = {"occurred_at": BEGIN}


def record(
    topic: str, value: bytes | None, offset: int = 0, headers: Headers | None = None
) -> Record:
    return Record(topic, 0, offset, b"acme", value, headers or [], 1_000)


@pytest.mark.parametrize(
    ("topic", "value", "complaint"),
    [
        (PROCESSED, b"no JSON", "malformed"),
        (JOBS, b'{"type": "job.sealed.v1"}', "missing required field"),
        (JOBS, b"[" * 100_000, "recursion|malformed|array"),
        (REQUESTED, b"\xff\xfe", "malformed|utf-8"),
        (
            BATCHES,
            encode(
                e.ImagesSettled(
                    customer_id="acme",
                    jobs=[SettledImages(job_id=JOB, failed=ImageSet(count=1, bitmap="!!"))],
                    **TIME,
                )
            ),
            "bitmap",
        ),
        (
            FINISHED,
            encode(
                e.JobFinished(
                    customer_id="acme",
                    job_id=JOB,
                    images=2**63,
                    delivered=0,
                    failed=0,
                    cancelled=0,
                    **TIME,
                )
            ),
            "larger than anything",
        ),
        (
            CALLS,
            encode(e.LaneRecorded(customer_id="acme", state="idle", last_seq=2**40, **TIME)),
            "larger than anything",
        ),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_and_nothing_else(
    topic: str, value: bytes, complaint: str
) -> None:
    changes = Changes()
    reason = take(changes, record(topic, value, 7))
    assert reason is not None
    assert any(part in reason.lower() for part in complaint.split("|"))
    (letter,) = changes.dead_letters
    assert (letter["topic"], letter["offset"], letter["service"]) == (topic, 7, "tracker")
    changes.dead_letters = []
    assert changes == Changes()


def test_a_record_without_a_value_ends_a_key_and_tells_nothing() -> None:
    changes = Changes()
    assert take(changes, record(CALLS, None)) is None
    assert changes == Changes()


def lane_recorded(state: Any, partition: int, offset: int) -> Record:
    event = e.LaneRecorded(customer_id="acme", state=state, last_seq=7, **TIME)
    return Record(CALLS, partition, offset, b"acme", encode(event), [], 1_000)


@pytest.mark.parametrize("in_turn", [1, -1])
def test_a_lane_that_a_growth_has_moved_is_followed_where_it_goes_on(in_turn: int) -> None:
    before, after = 12, 16
    left, home = partition_of(b"acme", before), partition_of(b"acme", after)
    assert left != home
    log = [
        (lane_recorded("active", left, 500), before),
        (lane_recorded("submitting", left, 499), after),  # read late, or again
        (lane_recorded("active", home, 0), after),
        (lane_recorded("idle", home, 1), after),
    ]
    changes = Changes()
    for one, partitions in log[::in_turn]:
        assert take(changes, one, partitions) is None
    assert changes.lanes["acme"].state == "idle"


async def test_a_dead_letter_of_a_service_is_shown_once_and_where_it_stood(
    write: Write, queries: Queries
) -> None:
    bad = Record("batches", 2, 41, b"acme", b"{", [("ce_id", b"1")], 1_000)
    headers = dead_letter_headers(bad, ValueError("no end"), group="t1-imagelane-dispatcher")
    again = record("dlq.batches", b"{", 8, headers)
    write([record("dlq.batches", b"{", 9, headers), bad, again])
    (letter,) = (await queries.dead_letters()).items
    assert (letter.topic, letter.partition, letter.offset) == ("batches", 2, 41)
    assert (letter.service, letter.reason, letter.size_bytes) == ("dispatcher", "no end", 1)
    assert (letter.dead_letter_topic, letter.dead_letter_offset) == ("dlq.batches", 8)


@pytest.mark.parametrize(
    "headers", [[], [("__dlq.errors.offset", b"-1")], [("__dlq.errors.partition", b"9" * 400)]]
)
async def test_a_dead_letter_that_says_nothing_of_itself_is_kept_all_the_same(
    write: Write, queries: Queries, headers: Headers
) -> None:
    write([record("dlq.urls", b"\0", 3, headers)])
    (letter,) = (await queries.dead_letters()).items
    assert (letter.topic, letter.offset, letter.service) == ("dlq.urls", 3, "unknown")


async def test_texts_of_customers_may_hold_anything(
    engine: Engine, write: Write, queries: Queries
) -> None:
    """PostgreSQL takes no NUL in a text, so there is none in any database."""
    nasty = "a\0b'\"%_\\🦄"
    broker = Broker(random.Random(1))
    job = some_job(broker.rng, nasty.replace("\0", ""), 1, failing=0)
    accept(broker, job)
    image: dict[str, Any] = {"customer_id": job.customer_id, "job_id": job.job_id, "index": 0}
    recipe: dict[str, Any] = {"recipe": "default", "destination": "default"}
    broker.append(
        e.ImageDownloaded(
            **image,
            **recipe,
            url=nasty,
            group=nasty,
            status="failed",
            seconds=1e300,
            failure=Failure(code="timeout", reason=nasty),
            **TIME,
        )
    )
    write(one for part in reversed(list(broker.log.values())) for one in part)
    assert all("\0" not in str(row) for rows in rows_in(engine).values() for row in rows)
    page = await queries.images(job.job_id, text="%_\\", customer_id=job.customer_id)
    assert page is not None
    (image_status,) = page.items
    assert image_status.reason == nasty.replace("\0", "\ufffd")
    assert image_status.download_seconds == 1_000_000.0


async def test_a_second_list_that_is_refused_under_a_jobs_key_does_not_end_the_job(
    write: Write, queries: Queries
) -> None:
    broker = Broker(random.Random(1))
    job = some_job(broker.rng, "acme", 2, failing=0)
    conflict = e.JobRefused(
        customer_id="acme",
        job_id=job.job_id,
        failure=Failure(code="idempotency_conflict", reason="used before"),
        occurred_at=broker.tick(),
    )
    broker.append(conflict)
    write(broker.log["jobs", next(iter(broker.log))[1]])
    refused = await queries.job(job.job_id)
    assert refused is not None
    assert refused.status == "refused"
    assert refused.refusal == conflict.failure
    accept(broker, job)
    write(one for part in broker.log.values() for one in part)
    running = await queries.job(job.job_id)
    assert running is not None
    assert (running.status, running.refusal) == ("running", None)


async def test_images_that_the_sweep_asks_for_again_show_it(write: Write, queries: Queries) -> None:
    broker = Broker(random.Random(1))
    job = some_job(broker.rng, "acme", 3, failing=0)
    accept(broker, job)
    missing = e.ImagesMissing(
        customer_id="acme",
        job_id=job.job_id,
        images=pack([1]),
        round=1,
        occurred_at=broker.tick() + timedelta(minutes=1),
    )
    broker.append(missing)
    broker.append(
        e.ImageRequested(
            customer_id="acme",
            job_id=job.job_id,
            index=1,
            url="https://shop.example/1/photo.jpg",
            recipe="default",
            destination="default",
            occurred_at=broker.tick() + timedelta(minutes=2),
            round=1,
        )
    )
    write(one for part in broker.log.values() for one in part)
    trail = await queries.image(job.job_id, 1)
    other = await queries.image(job.job_id, 2)
    assert trail is not None
    assert other is not None
    kinds = ["job.accepted", "image.requested", "job.sealed", "images.missing", "image.requested"]
    assert [step.kind for step in trail.steps] == kinds
    assert [step.round for step in trail.steps][-2:] == [1, 1]
    assert [step.kind for step in other.steps] == kinds[:3]
