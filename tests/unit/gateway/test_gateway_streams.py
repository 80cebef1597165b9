"""Server-sent events: what has changed, once, from where the client stopped listening."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.unit.gateway.conftest import Gateway, Start
from tests.waiting import eventually

from imagelane.gateway import streams

JOB, OTHER = "a" * 32, "b" * 32


@asynccontextmanager
async def listening(
    gateway: Gateway, path: str, *, since: int | None = None, token: str | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"Authorization": f"Bearer {token or gateway.token}"}
    if since is not None:
        headers["Last-Event-ID"] = str(since)
    async with gateway.session.get(f"{gateway.url}{path}", headers=headers) as response:
        yield response


async def heard(response: aiohttp.ClientResponse) -> tuple[str, int, Any]:
    """The next event: its name, its id and its data."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(10):
        while "data" not in fields:
            line = (await response.content.readline()).decode()
            assert line, "the stream has ended"
            if line.startswith(":") or not line.strip():
                continue
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
    return fields["event"], int(fields["id"]), json.loads(fields["data"])


async def test_a_jobs_stream_begins_with_the_job_and_ends_with_it(start: Start) -> None:
    async with start() as gateway:
        first = gateway.tracker.jobs.put(JOB, "acme", images=None)
        async with listening(gateway, f"/v1/jobs/{JOB}/events") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            name, at, job = await heard(response)
            assert (name, at, job["job_id"], job["images"]) == ("job", first.change, JOB, None)
            gateway.tracker.jobs.put(OTHER, "acme")
            last = gateway.tracker.jobs.put(JOB, "acme", status="finished")
            name, at, job = await heard(response)
            assert (at, job["status"]) == (last.change, "finished")
            async with asyncio.timeout(10):
                assert (await response.content.read()).strip() == b""


async def test_who_has_heard_the_end_is_not_told_again(start: Start) -> None:
    async with start() as gateway:
        over = gateway.tracker.jobs.put(JOB, "acme", status="refused")
        async with listening(gateway, f"/v1/jobs/{JOB}/events", since=over.change) as response:
            assert response.status == 204
        async with listening(gateway, f"/v1/jobs/{JOB}/events", since=0) as response:
            assert (await heard(response))[1] == over.change


async def test_a_stream_goes_on_where_its_client_stopped(start: Start) -> None:
    async with start() as gateway:
        heard_of = gateway.tracker.jobs.put(JOB, "acme")
        async with listening(gateway, f"/v1/jobs/{JOB}/events", since=heard_of.change) as response:
            newer = gateway.tracker.jobs.put(JOB, "acme")
            assert (await heard(response))[1] == newer.change


async def test_a_job_that_was_just_handed_in_can_be_followed(start: Start) -> None:
    async with start() as gateway:
        job = (await gateway.ask("POST", "/v1/jobs", json={"urls": ["https://a.example/1"]})).json
        async with listening(gateway, job["links"]["events"]) as response:
            assert (await heard(response))[2]["status"] == "submitted"
            gateway.tracker.jobs.put(job["job_id"], "acme", status="accepted")
            assert (await heard(response))[2]["status"] == "accepted"


async def test_all_jobs_are_followed_from_now_on(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        async with listening(gateway, "/v1/events") as response:
            assert await heard(response) == ("begin", 1, {"change": 1})
            gateway.tracker.jobs.put("c" * 32, "umbra")
            mine = gateway.tracker.jobs.put(OTHER, "acme")
            name, at, job = await heard(response)
            assert (name, at, job["job_id"]) == ("job", mine.change, OTHER)


async def test_all_jobs_that_changed_meanwhile_are_told(start: Start) -> None:
    async with start() as gateway:
        for number in range(streams.PAGE_JOBS + 5):
            gateway.tracker.jobs.put(f"{number:032}".translate(str.maketrans("01", "ab")), "acme")
        operator = gateway.keys.token(None, "operate")
        async with listening(gateway, "/v1/events", since=2, token=operator) as response:
            assert (await heard(response))[0] == "begin"
            told = [(await heard(response))[1] for _ in range(streams.PAGE_JOBS + 3)]
    assert told == list(range(3, streams.PAGE_JOBS + 6))


async def test_while_nothing_changes_hardly_anything_is_asked(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        async with listening(gateway, "/v1/events") as one, listening(gateway, "/v1/events"):
            await heard(one)
            await eventually(lambda: gateway.tracker.jobs.asked.count("latest_change") >= 20)
            assert gateway.tracker.jobs.asked.count("progress") <= 2  # each stream looks once


async def test_a_quiet_stream_is_kept_alive(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_SECONDS", 0.05)
    async with start() as gateway, listening(gateway, "/v1/events") as response:
        async with asyncio.timeout(10):
            while await response.content.readline() != b": ping\n":
                pass


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 19])
async def test_an_event_id_that_is_none_is_named(start: Start, value: str) -> None:
    async with start() as gateway:
        answer = await gateway.ask("GET", "/v1/events", headers={"Last-Event-ID": value})
        assert (answer.status, answer.json["field"]) == (422, "Last-Event-ID")


async def test_more_streams_than_allowed_come_later(start: Start) -> None:
    async with start(streams=1) as gateway:
        async with listening(gateway, "/v1/events") as first:
            await heard(first)
            assert (await gateway.ask("GET", "/v1/events")).status == 429
        async with asyncio.timeout(10):
            while gateway.parts.streams._open:
                gateway.tracker.jobs.put(JOB, "acme")  # so that the gateway writes, and notices
                await asyncio.sleep(0.01)
        async with listening(gateway, "/v1/events") as second:
            assert (await heard(second))[0] == "begin"


async def test_streams_end_with_the_gateway(start: Start) -> None:
    async with start() as gateway, listening(gateway, "/v1/events") as response:
        await heard(response)
        await gateway.parts.streams.close()
        async with asyncio.timeout(10):
            assert (await response.content.read()).strip() == b""


@pytest.mark.parametrize("path", ["/v1/events", f"/v1/jobs/{JOB}/events"])
async def test_only_the_head_of_a_stream_can_be_asked_for(start: Start, path: str) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        answer = await gateway.ask("HEAD", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        assert gateway.parts.streams._open == 0
