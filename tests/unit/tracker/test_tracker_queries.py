"""What is answered about jobs, images, lanes and calls, and to whom."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.unit.tracker.conftest import Write
from tests.unit.tracker.life import (
    BASE,
    Broker,
    JobOfLife,
    accept,
    call,
    live,
    notify,
    process,
    settle,
    some_job,
    url_of,
)

from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.contracts.codec import decode
from imagelane.contracts.image_sets import pack
from imagelane.contracts.parts import CallPlan, PlannedImages
from imagelane.contracts.topics import NOTICES
from imagelane.platform.records import Record
from imagelane.tracking.cursors import CursorError
from imagelane.tracking.database import DatabaseError
from imagelane.tracking.queries import Queries
from imagelane.tracking.views import (
    IMAGE_STATES,
    FailureCount,
    ImageState,
    ImageStatus,
    ImageTrail,
    JobStatus,
)

NOBODY = "globex"


@pytest.fixture
def broker() -> Broker:
    return Broker(random.Random(7))


def everything(broker: Broker) -> list[Record]:
    return [record for part in broker.log.values() for record in part]


def finished_job(broker: Broker, write: Write, images: int = 12) -> JobOfLife:
    job = some_job(broker.rng, "acme", images, failing=0)
    job.broken |= some_job(broker.rng, "acme", images, failing=0.4).broken
    live(broker, job)
    write(everything(broker))
    return job


async def job_of(queries: Queries, job: JobOfLife) -> JobStatus:
    status = await queries.job(job.job_id)
    assert status is not None
    return status


async def images_of(queries: Queries, job: JobOfLife, **filters: Any) -> list[ImageStatus]:
    """All pages, three images each."""
    found: list[ImageStatus] = []
    cursor = None
    while True:
        page = await queries.images(job.job_id, cursor=cursor, limit=3, **filters)
        assert page is not None
        assert len(page.items) == 3 or page.next_cursor is None
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def trail_of(queries: Queries, job: JobOfLife, index: int) -> ImageTrail:
    trail = await queries.image(job.job_id, index)
    assert trail is not None
    return trail


async def test_a_finished_job_adds_up(broker: Broker, write: Write, queries: Queries) -> None:
    job = finished_job(broker, write)
    status = await job_of(queries, job)
    counts = status.counts
    assert (status.status, status.images) == ("finished", 12)
    assert (counts.delivered, counts.failed) == (len(job.delivered), len(job.failed))
    assert counts.requested == counts.downloaded == counts.processed == 12
    assert counts.ready == 0
    failures = await queries.failures(job_id=job.job_id)
    assert sum(one.images for one in failures) == counts.failed
    reason = "the batch API reported that it failed"
    assert FailureCount(code="call_failed", reason=reason, images=1) in failures
    assert await queries.failures(customer_id="acme") == failures
    assert await queries.failures() == failures


async def test_every_image_tells_what_became_of_it_and_why(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = finished_job(broker, write)
    images = await images_of(queries, job)
    assert [image.index for image in images] == list(range(12))
    for image in images:
        assert image.url == url_of(image.index)
        assert image.status == ("delivered" if image.index in job.delivered else "failed")
        why = job.broken.get(image.index)
        assert (image.original_bytes is None) == (image.outputs == []) == (why is not None)
        if why is not None:
            assert (image.code, image.reason) == (why.code, why.reason)
        elif image.status == "failed":
            assert image.code == "call_failed"


async def test_results_are_the_urls_that_the_batch_api_was_told(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = finished_job(broker, write)
    chunks = [chunk async for chunk in queries.results(job.job_id, customer_id="acme", chunk=5)]
    assert [len(chunk) for chunk in chunks] == [5, 5, 2]
    for line in (line for chunk in chunks for line in chunk):
        urls = [] if line.index in job.broken else [f"{BASE}/{job.job_id}/{line.index}/image.jpg"]
        assert line.results == urls


async def test_images_are_found_by_status_code_and_text(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = finished_job(broker, write)
    by_status = {
        state: {image.index for image in await images_of(queries, job, status=state)}
        for state in IMAGE_STATES
    }
    assert by_status.pop("delivered") == job.delivered
    assert by_status.pop("failed") == job.failed
    assert not any(by_status.values())
    for code in ("timeout", "not_found"):
        met = {index for index, why in job.broken.items() if why.code == code}
        assert {one.index for one in await images_of(queries, job, code=code)} == met
    lost = {one.index for one in await images_of(queries, job, code="call_failed")}
    assert lost == job.failed - set(job.broken)
    assert await images_of(queries, job, code="unheard_of") == []
    assert [one.index for one in await images_of(queries, job, text="/1")] == [1, 10, 11]
    assert [one.index for one in await images_of(queries, job, text="SHOE")] == [1, 3, 5, 7, 9, 11]
    assert await images_of(queries, job, text="%") == []
    both = await images_of(queries, job, text="shoes", status="failed")
    assert {one.index for one in both} == {one for one in job.failed if one % 2}


async def test_the_trail_of_a_delivered_image_names_every_record_about_it(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = finished_job(broker, write)
    index = min(job.delivered)
    trail = await trail_of(queries, job, index)
    road = ["image.requested", "image.downloaded", "image.processed"]
    calling = ["batch.requested", "call.planned", "call.submitting", "call.active"]
    ends = ["outcome.recorded", "call.completed", "job.finished"]
    kinds = [step.kind for step in trail.steps]
    assert sorted(set(kinds)) == sorted({"job.accepted", "job.sealed", *road, *calling, *ends})
    assert [
        kind for kind in dict.fromkeys(kinds) if kind not in ("job.sealed", "job.accepted")
    ] == [
        *road,
        *calling,
        *ends,
    ]
    records = {
        (one.topic, one.partition, one.offset): decode(one.topic, one.value)
        for one in everything(broker)
    }
    for step in trail.steps:
        event = records[step.topic, step.partition, step.offset]
        assert abs(event.occurred_at - step.at) < timedelta(milliseconds=1)
    (outcome,) = (step for step in trail.steps if step.kind == "outcome.recorded")
    assert outcome.outcome == "delivered"
    assert trail.image.call == 1
    parents = {
        dict(one.headers)["traceparent"].split(b"-")[1].decode()
        for one in everything(broker)
        if one.topic == "processed" and decode(one.topic, one.value).index == index
    }
    assert parents == {trail.trace_id}


async def test_the_trail_of_a_broken_image_ends_without_a_call(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = finished_job(broker, write)
    index, why = min(job.broken.items())
    trail = await trail_of(queries, job, index)
    kinds = list(dict.fromkeys(step.kind for step in trail.steps))
    assert kinds[-4:] == ["image.processed", "images.settled", "outcome.recorded", "job.finished"]
    told = [step for step in trail.steps if step.code]
    assert {(step.code, step.reason) for step in told} == {(why.code, why.reason)}
    assert trail.image.call is None


@pytest.mark.parametrize("customer", [NOBODY, "acme"])
async def test_what_belongs_to_somebody_else_is_like_what_does_not_exist(
    broker: Broker, write: Write, queries: Queries, customer: str
) -> None:
    job_id = finished_job(broker, write).job_id if customer == NOBODY else "a" * 32
    assert await queries.job(job_id, customer_id=customer) is None
    assert await queries.job_trail(job_id, customer_id=customer) is None
    assert await queries.images(job_id, customer_id=customer) is None
    assert await queries.image(job_id, 0, customer_id=customer) is None
    assert [chunk async for chunk in queries.results(job_id, customer_id=customer)] == []
    assert await queries.failures(job_id=job_id, customer_id=customer) == []
    assert await queries.progress(since=0, job_id=job_id, customer_id=customer) == []
    assert (await queries.jobs(customer_id=customer)).items == []
    assert (await queries.lanes(customer_id=customer)).items == []
    assert await queries.lane(customer) is None
    assert (await queries.calls(customer)).items == []
    assert await queries.call(customer, 1) is None


async def test_an_image_that_the_list_has_not_is_not_found(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = finished_job(broker, write)
    assert await queries.image(job.job_id, 12) is None
    assert await queries.image(job.job_id, 9_999_999_999) is None


async def test_a_database_that_cannot_be_read_is_one_kind_of_error(
    queries: Queries, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE jobs")
    with pytest.raises(DatabaseError, match=r"no such table|does not exist"):
        await queries.job("a" * 32)
    with pytest.raises(DatabaseError, match=r"no such table|does not exist"):
        await anext(queries.results("a" * 32))


async def test_a_job_half_way_has_each_image_in_one_state(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = some_job(broker.rng, "acme", 10, failing=0)
    accept(broker, job)
    process(broker, job, again=0)
    call(broker, job, 1, {0, 1, 2}, frozenset({2}))
    packed = pack([3, 4])
    jobs = [
        PlannedImages(job_id=job.job_id, recipe="default", destination="default", images=packed)
    ]
    plan = CallPlan(
        seq=2, jobs=jobs, images=2, reference="v1-2", body_sha256="0" * 64, planned_at=broker.tick()
    )
    held = e.LaneRecorded(
        customer_id="acme",
        state="held",
        last_seq=2,
        occurred_at=broker.tick(),
        plan=plan,
        hold_reason="who knows",
        held_since=broker.now,
        usual_seconds=1.5,
    )
    broker.append(held)
    job.cancelled = {5}
    settle(broker, job, {5})
    events = [(one, decode(one.topic, one.value)) for one in everything(broker)]
    write(
        record
        for record, event in events
        if not (isinstance(event, e.ImageProcessed) and event.index >= 7)
        and not (isinstance(event, e.ImageDownloaded) and event.index >= 9)
    )
    expected: dict[ImageState, set[int]] = {
        "requested": {9},
        "downloaded": {7, 8},
        "processed": {6},
        "in_call": {3, 4},
        "delivered": {0, 1},
        "failed": {2},
        "cancelled": {5},
    }
    for state, indexes in expected.items():
        assert {one.index for one in await images_of(queries, job, status=state)} == indexes
    lane = await queries.lane("acme")
    assert lane is not None
    assert (lane.state, lane.last_seq, lane.ready, lane.open_jobs) == ("held", 2, 1, 1)
    assert (lane.hold_reason, lane.held_since) == ("who knows", held.held_since)
    assert lane.call is not None
    assert (lane.call.seq, lane.call.status, lane.call.images) == (2, "held", 2)
    assert (await queries.lanes(state="held")).items == [lane]
    assert (await queries.lanes(state="idle")).items == []
    first, second = (await queries.calls("acme")).items
    assert (first.seq, first.status) == (2, "held")
    assert (second.seq, second.status, second.images) == (1, "partial", 3)
    assert [(one.delivered, one.failed, one.returned) for one in second.jobs] == [(2, 1, 0)]
    assert await queries.call("acme", 1) == second


async def test_lists_come_in_pages_newest_first(
    broker: Broker, write: Write, queries: Queries
) -> None:
    jobs = [some_job(broker.rng, "acme", 1) for _ in range(5)]
    for job in jobs:
        accept(broker, job)
    write(everything(broker))
    found: list[str] = []
    cursor = None
    while True:
        page = await queries.jobs(customer_id="acme", cursor=cursor, limit=2, status="running")
        found += [one.job_id for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [job.job_id for job in reversed(jobs)]
    assert (await queries.jobs(status="finished")).items == []
    assert (await queries.jobs(status="accepted")).items == []


async def test_how_many_images_a_job_has_is_known_as_soon_as_it_is_accepted(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = some_job(broker.rng, "acme", 30)
    accept(broker, job)
    write([one for one in everything(broker) if b'"job.sealed' not in (one.value or b"")])
    found = await queries.job(job.job_id)
    assert found is not None
    assert (found.status, found.images, found.sealed_at) == ("accepted", 30, None)


@pytest.mark.parametrize("cursor", ["", "x", "é", "bnVsbA", "WzEsMl0" * 400, "IngiIA==", "LTE="])
async def test_a_foreign_cursor_is_refused(
    broker: Broker, write: Write, queries: Queries, cursor: str
) -> None:
    job = finished_job(broker, write)
    with pytest.raises(CursorError):
        await queries.jobs(cursor=cursor)
    with pytest.raises(CursorError):
        await queries.images(job.job_id, cursor=cursor)
    with pytest.raises(CursorError):
        await queries.calls("acme", cursor=cursor)
    with pytest.raises(CursorError):
        await queries.dead_letters(cursor=cursor)


async def test_progress_goes_on_where_it_was_left(
    broker: Broker, write: Write, queries: Queries
) -> None:
    jobs = [some_job(broker.rng, "acme", 2) for _ in range(3)]
    for job in jobs:
        accept(broker, job)
    write(everything(broker))
    first = await queries.progress(since=0, limit=2)
    rest = await queries.progress(since=first[-1].change)
    assert {one.job_id for one in first + rest} == {job.job_id for job in jobs}
    assert await queries.progress(since=rest[-1].change) == []
    broker.log.clear()
    process(broker, jobs[1])
    write(everything(broker))
    (changed,) = await queries.progress(since=rest[-1].change, customer_id="acme")
    assert changed.job_id == jobs[1].job_id
    assert changed.counts.processed == 2
    assert await queries.progress(since=rest[-1].change, job_id=jobs[0].job_id) == []


async def test_what_people_have_asked_for_is_shown_on_the_jobs_that_it_is_about(
    broker: Broker, write: Write, queries: Queries
) -> None:
    early, named, late = (some_job(broker.rng, "acme", 1) for _ in range(3))
    accept(broker, early)
    accept(broker, named)
    by: dict[str, Any] = {"customer_id": "acme", "decided_by": "kim"}
    broker.append(c.CancelCustomer(**by, occurred_at=broker.tick()))
    broker.append(c.DeleteJob(**by, job_id=named.job_id, occurred_at=broker.tick()))
    foreign = {**by, "customer_id": NOBODY}
    broker.append(c.DeleteJob(**foreign, job_id=early.job_id, occurred_at=broker.tick()))
    accept(broker, late)
    write(everything(broker))
    page = await queries.jobs()
    asked = {
        one.job_id: (one.cancel_asked_at is not None, one.delete_asked_at is not None)
        for one in page.items
    }
    assert asked == {
        early.job_id: (True, False),
        named.job_id: (True, True),
        late.job_id: (False, False),
    }
    trail = await queries.job_trail(named.job_id)
    assert trail is not None
    assert [(one.kind, one.decided_by) for one in trail][-2:] == [
        ("cancel.customer", "kim"),
        ("delete.job", "kim"),
    ]


async def test_how_far_the_tracker_has_read_is_told(
    broker: Broker, write: Write, queries: Queries
) -> None:
    assert (await queries.freshness()).written_at is None
    finished_job(broker, write)
    freshness = await queries.freshness()
    assert freshness.behind == 0
    assert freshness.written_at is not None


async def test_how_far_a_notice_has_come_is_shown_with_its_job(
    broker: Broker, write: Write, queries: Queries
) -> None:
    job = some_job(broker.rng, "acme", 1)
    accept(broker, job)
    write(everything(broker))
    assert (await job_of(queries, job)).notice is None
    notify(broker, job, failing=2)
    records = everything(broker)
    for number, (state, attempts, result) in enumerate(
        [
            ("pending", 0, None),
            ("pending", 1, "5xx"),
            ("pending", 2, "5xx"),
            ("delivered", 3, "2xx"),
        ]
    ):
        write([one for one in records if one.topic == NOTICES][: number + 1])
        notice = (await job_of(queries, job)).notice
        assert notice is not None
        assert (notice.state, notice.attempts, notice.last_result) == (state, attempts, result)
        assert (notice.next_at is not None) == (state == "pending" and attempts > 0)
    over = (await job_of(queries, job)).notice
    write([one for one in records if one.topic == NOTICES][:1])  # once more, as after a rebuild
    assert (await job_of(queries, job)).notice == over
    trail = await queries.job_trail(job.job_id)
    assert trail is not None
    assert [one.kind for one in trail][-1] == "notice.delivered"
