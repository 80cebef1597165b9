"""The same answers from the tracker's real tables, in SQLite, also while the file comes, goes and is another one."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest
from tests.unit.gateway.conftest import Gateway, Start
from tests.unit.tracker.life import Broker, JobOfLife, live, some_job

from imagelane.tracker.core.changes import Changes
from imagelane.tracker.core.taking import take
from imagelane.tracker.ledger import Ledger, Position
from imagelane.tracker.migrating import migrate
from imagelane.tracking.database import DatabaseSettings, writing_engine


def lived(database: DatabaseSettings, customer: str = "acme", images: int = 12) -> JobOfLife:
    """A job that has gone the whole road, as the tracker has written it down."""
    broker = Broker(random.Random(7))
    job = some_job(broker.rng, customer, images, failing=0.3)
    live(broker, job)
    engine = writing_engine(database)
    migrate(engine)
    ledger = Ledger(engine)
    ledger.open()
    changes, positions = Changes(), {}
    for record in (record for part in broker.log.values() for record in part):
        take(changes, record)
        position = Position(record.offset + 1, record.offset + 1)
        positions[record.topic, record.partition] = position
    ledger.write(changes, positions, now_ms=1)
    engine.dispose()
    return job


def remove(folder: Path) -> None:
    for path in folder.glob("tracker.db*"):
        path.unlink()


@pytest.fixture
def database(tmp_path: Path) -> DatabaseSettings:
    return DatabaseSettings(url=f"sqlite:///{tmp_path}/tracker.db")


async def everything(gateway: Gateway, job: JobOfLife) -> list[object]:
    """Every answer about the job; each of them is held against the API's description."""
    at = f"/v1/jobs/{job.job_id}"
    paths = [
        "/v1/jobs",
        at,
        f"{at}/trail",
        f"{at}/images?limit=5",
        f"{at}/images?status=failed",
        f"/v1/images/{job.job_id}:0",
        "/v1/failures",
        "/v1/lanes",
        f"/v1/lanes/{job.customer_id}",
        f"/v1/lanes/{job.customer_id}/calls",
        "/v1/freshness",
    ]
    answers = [await gateway.ask("GET", path) for path in paths]
    assert [answer.status for answer in answers] == [200] * len(paths)
    return [answer.json for answer in answers]


async def test_every_question_is_answered_as_the_description_says(
    start: Start, database: DatabaseSettings
) -> None:
    job = lived(database)
    async with start(database=database) as gateway:
        jobs, told, *_ = await everything(gateway, job)
        lines = (await gateway.ask("GET", f"/v1/jobs/{job.job_id}/results")).body.splitlines()
        table = (await gateway.ask("GET", f"/v1/jobs/{job.job_id}/results?format=csv")).body
        operator = gateway.keys.token(None, "operate")
        assert (await gateway.ask("GET", "/v1/dead-letters", token=operator)).status == 200
    assert isinstance(told, dict)
    assert isinstance(jobs, dict)
    assert jobs["items"][0]["job_id"] == told["job_id"] == job.job_id
    assert told["status"] == "finished"
    assert sum(one["images"] for one in told["failures"]) == told["counts"]["failed"]
    assert [json.loads(line)["index"] for line in lines] == list(range(12))
    rows = list(csv.DictReader(io.StringIO(table.decode(), newline="")))
    delivered = [row for row in rows if row["status"] == "delivered"]
    assert len(delivered) == told["counts"]["delivered"]
    assert all(row["result_url"].startswith("http") for row in delivered)


async def test_another_customer_finds_nothing(start: Start, database: DatabaseSettings) -> None:
    job = lived(database, customer="umbra")
    async with start(database=database) as gateway:
        for path in (
            f"/v1/jobs/{job.job_id}",
            f"/v1/jobs/{job.job_id}/trail",
            f"/v1/jobs/{job.job_id}/images",
            f"/v1/jobs/{job.job_id}/results",
            f"/v1/jobs/{job.job_id}/events",
            f"/v1/images/{job.job_id}:0",
            "/v1/lanes/umbra",
        ):
            assert (await gateway.ask("GET", path)).status == 404, path
        assert (await gateway.ask("GET", "/v1/jobs")).json["items"] == []
        assert (await gateway.ask("GET", "/v1/failures")).json["items"] == []


async def test_jobs_are_followed_on_it(start: Start, database: DatabaseSettings) -> None:
    job = lived(database)
    async with start(database=database) as gateway:
        answer = await gateway.ask("GET", f"/v1/jobs/{job.job_id}/events")
        assert b"event: job" in answer.body
        change = (await gateway.ask("GET", f"/v1/jobs/{job.job_id}")).json["change"]
        heard = {"Last-Event-ID": str(change)}
        path = f"/v1/jobs/{job.job_id}/events"
        assert (await gateway.ask("GET", path, headers=heard)).status == 204


async def test_limits_ask_it(start: Start, database: DatabaseSettings) -> None:
    lived(database)
    async with start(database=database, max_open_jobs=1) as gateway:
        answer = await gateway.ask("POST", "/v1/jobs", json={"urls": ["https://a.example/1"]})
        assert answer.status == 202


async def test_a_database_that_comes_later_or_anew_is_found(
    start: Start, database: DatabaseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagelane.gateway.status.RETRY_SECONDS", 0.0)
    async with start(database=database) as gateway:
        assert (await gateway.ask("GET", "/v1/jobs")).status == 503
        job = lived(database)
        before = await everything(gateway, job)
        remove(tmp_path)
        assert (await gateway.ask("GET", "/v1/jobs")).status == 503
        lived(database)
        assert await everything(gateway, job) == before
