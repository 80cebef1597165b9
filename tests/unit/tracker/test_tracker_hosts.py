"""How a waiting image's server is spared: who is told, and for how long."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, func, select
from tests.unit.tracker.conftest import Write
from tests.unit.tracker.life import Broker, JobOfLife, accept, process, some_job

from imagelane.contracts.codec import encode
from imagelane.contracts.hosts import HostRecorded, host_key
from imagelane.contracts.topics import HOSTS
from imagelane.platform.records import Record
from imagelane.tracker.rebuilding import rebuild
from imagelane.tracker.retention import DROP_MS, Retention
from imagelane.tracking import tables as t
from imagelane.tracking.queries import Queries
from imagelane.tracking.server_queries import server_names
from imagelane.tracking.server_views import ServerStatus

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)  # longer than any run of the suite
SERVER = "shop.example"
PAUSED = HostRecorded(
    host=SERVER,
    worker="downloader-0",
    state="asked_to_wait",
    images_at_a_time=1,
    resumes_at=NOW + HOUR,
    trouble="rate_limited",
    occurred_at=NOW,
    holds_until=NOW + 2 * HOUR,
)
_offsets = count()


def told(event: HostRecorded) -> Record:
    return Record(HOSTS, 0, next(_offsets), host_key(event), encode(event), [], 0)


@pytest.fixture
def job(write: Write) -> JobOfLife:
    """Its images are requested, and nothing more."""
    broker = Broker(random.Random(3))
    job = some_job(broker.rng, "acme", 3, failing=0)
    accept(broker, job)
    write(record for part in broker.log.values() for record in part)
    return job


async def server_of(queries: Queries, job: JobOfLife, **whose: Any) -> ServerStatus | None:
    trail = await queries.image(job.job_id, 0, **whose)
    assert trail is not None
    return trail.server


async def test_a_waiting_image_is_told_with_its_spared_server(
    queries: Queries, write: Write, job: JobOfLife
) -> None:
    assert await server_of(queries, job) is None
    write([told(PAUSED)])
    server = await server_of(queries, job, customer_id="acme")
    assert server is not None
    assert (server.host, server.state, server.images_at_a_time) == (SERVER, "asked_to_wait", 1)
    assert server.code == "rate_limited"
    assert "fewer requests" in str(server.reason)
    assert await queries.image(job.job_id, 0, customer_id="globex") is None


async def test_an_image_that_no_longer_waits_has_no_server(
    queries: Queries, write: Write, job: JobOfLife
) -> None:
    broker = Broker(random.Random(3))
    accept(broker, job)
    process(broker, job)
    write(record for part in broker.log.values() for record in part)
    write([told(PAUSED)])
    assert await server_of(queries, job) is None


@pytest.mark.parametrize(
    "later",
    [
        pytest.param({"state": "steady"}, id="it said that it is over"),
        pytest.param({"holds_until": NOW - HOUR}, id="it was not heard of since"),
    ],
)
async def test_a_server_is_spared_no_more(
    queries: Queries, write: Write, job: JobOfLife, later: dict[str, Any]
) -> None:
    write([told(PAUSED), told(replace(PAUSED, **later))])
    assert await server_of(queries, job) is None
    write([told(replace(PAUSED, occurred_at=NOW - HOUR))])  # after a rebuild, old ones come again
    assert await server_of(queries, job) is None


async def test_of_several_downloaders_the_one_that_spares_it_most_is_told(
    queries: Queries, write: Write, job: JobOfLife
) -> None:
    slowed = replace(PAUSED, worker="downloader-1", state="slowed", images_at_a_time=8)
    longer = replace(PAUSED, worker="downloader-2", resumes_at=NOW + 1.5 * HOUR)
    write(map(told, (slowed, longer, PAUSED)))
    server = await server_of(queries, job)
    assert server is not None
    assert server.resumes_at is not None
    assert server.resumes_at > NOW + HOUR


async def test_a_domain_with_a_rate_is_told_for_hosts_below_it_and_another_server_is_not(
    queries: Queries, write: Write, job: JobOfLife
) -> None:
    above = replace(PAUSED, host="example")
    write([told(above), told(replace(PAUSED, host="other.example"))])
    assert await server_of(queries, job) is None
    write([told(replace(above, requests_per_second=2.0))])
    server = await server_of(queries, job)
    assert server is not None
    assert (server.host, server.requests_per_second) == ("example", 2.0)


def test_what_nobody_says_any_more_is_dropped(engine: Engine, write: Write) -> None:
    write([told(PAUSED), told(replace(PAUSED, host="b.example", holds_until=NOW + 9 * HOUR))])
    now_ms = int((NOW + 5 * HOUR).timestamp() * 1_000)
    assert now_ms > DROP_MS
    Retention(engine, days=90).step(now_ms)
    assert hosts_in(engine) == 1
    rebuild(engine, keep_before_ms=None)
    assert hosts_in(engine) == 0


def hosts_in(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(t.hosts)) or 0


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (
            "https://Img.Shop.example./a.jpg",
            ["img.shop.example", "img.shop.example", "shop.example", "example"],
        ),
        ("http://shop.example:8080/a", ["shop.example:8080", "shop.example", "example"]),
        ("https://[2001:db8::1]/a", ["[2001:db8::1]", "2001:db8::1"]),
        ("no url", []),
        ("http://[x]@/", []),
        ("", []),
    ],
)
def test_a_server_is_named_as_the_downloader_names_it(url: str, names: list[str]) -> None:
    assert server_names(url) == names
