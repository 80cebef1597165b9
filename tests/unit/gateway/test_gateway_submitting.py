"""Handing in: what is answered 202 is in Kafka as it was meant, everything else is named and leaves nothing."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from msgspec import UNSET
from tests.unit.gateway.conftest import DEPLOYMENT_SECRET, Answer, Gateway, Start
from tests.unit.gateway.tracked import NOW
from tests.waiting import eventually

from imagelane.contracts.codec import encode
from imagelane.core.identity import job_id_of_key, upload_key
from imagelane.gateway.incoming import MAX_FIELDS
from imagelane.intake.core.submissions import read_submission
from imagelane.platform.records import Record

URLS = ["https://shop.example/1.jpg", "https://shop.example/2.jpg"]
SECRET = DEPLOYMENT_SECRET.encode()


async def submit(gateway: Gateway, body: Any = None, **more: Any) -> Answer:
    """A list as JSON, under a key."""
    headers = {"Idempotency-Key": "k-1", **more.pop("headers", {})}
    return await gateway.ask(
        "POST", "/v1/jobs", json={"urls": URLS} if body is None else body, headers=headers, **more
    )


async def upload(gateway: Gateway, data: Any, content_type: str, query: str = "") -> Answer:
    """A list as a body of its own."""
    headers = {"Idempotency-Key": "k-1", "Content-Type": content_type}
    data = io.BytesIO(data) if isinstance(data, bytes) else data
    return await gateway.ask("POST", f"/v1/jobs{query}", data=data, headers=headers)


def kept_under(content: bytes) -> str:
    return upload_key(SECRET, "acme", "k-1", hashlib.sha256(content).hexdigest())


async def test_a_list_is_in_kafka_before_it_is_answered(start: Start) -> None:
    async with start() as gateway:
        answer = await submit(gateway)
        [event] = gateway.kafka.sent
    assert answer.status == 202
    assert (event.customer_id, event.urls, event.idempotency_key) == ("acme", URLS, "k-1")
    job_id = answer.json["job_id"]
    assert answer.headers["Location"] == answer.json["links"]["self"] == f"/v1/jobs/{job_id}"
    assert answer.json["idempotency_key"] == answer.headers["Idempotency-Key"] == "k-1"


async def test_its_job_is_the_one_that_intake_makes_of_it(start: Start) -> None:
    async with start() as gateway:
        answer = await submit(gateway)
        [event] = gateway.kafka.sent
        [headers] = gateway.kafka.headers
    record = Record("urls", 0, 0, b"acme", encode(event), headers, 0)
    assert answer.json["job_id"] == read_submission(record).job_id(SECRET)
    assert answer.json["job_id"] == job_id_of_key(SECRET, "acme", "k-1")


async def test_the_record_is_a_cloud_event_that_names_the_job(start: Start) -> None:
    async with start() as gateway:
        job_id = (await submit(gateway)).json["job_id"]
        again = (await submit(gateway)).json["job_id"]
        first, second = (dict(headers) for headers in gateway.kafka.headers)
    assert first["ce_type"] == b"list.submitted.v1"
    assert first["imagelane-job-id"] == job_id.encode()
    assert job_id == again
    assert first["ce_id"] == second["ce_id"]


async def test_everything_that_can_be_said_of_a_list_arrives(start: Start) -> None:
    deadline = datetime.now(UTC) + timedelta(days=1)
    said = {
        "urls": [{"url": URLS[0], "group": "sku-1", "position": 3}, "no url"],
        "recipe": "original-size",
        "destination": "archive",
        "deadline": deadline.isoformat(),
        "notify_url": "https://shop.example/hooks",
    }
    async with start() as gateway:
        assert (await submit(gateway, said)).status == 202
        [event] = gateway.kafka.sent
    assert (event.recipe, event.destination, event.deadline) == (
        "original-size",
        "archive",
        deadline,
    )
    assert event.notify_url == "https://shop.example/hooks"
    assert (event.urls[0].group, event.urls[0].position, event.urls[1]) == ("sku-1", 3, "no url")


async def test_a_list_by_its_url_arrives(start: Start) -> None:
    said = {"list_url": "https://shop.example/l.csv", "list_format": "csv", "list_column": "image"}
    async with start() as gateway:
        assert (await submit(gateway, said)).status == 202
        [event] = gateway.kafka.sent
    assert (event.list_url, event.list_format, event.list_column) == tuple(said.values())
    assert event.urls is UNSET


async def test_without_a_key_each_request_is_a_job_of_its_own(start: Start) -> None:
    async with start() as gateway:
        answers = [await gateway.ask("POST", "/v1/jobs", json={"urls": URLS}) for _ in range(2)]
    first, second = (answer.json for answer in answers)
    assert first["job_id"] != second["job_id"]
    assert first["idempotency_key"] != second["idempotency_key"]


@pytest.mark.parametrize("mood", ["refuses", "never answers", "broken"])
async def test_without_kafka_it_is_not_taken(start: Start, mood: str) -> None:
    async with start() as gateway:
        gateway.kafka.mood = mood
        answer = await submit(gateway)
        assert answer.status == 503
        assert answer.json["type"] == "urn:imagelane:problem:not-taken"
        gateway.kafka.mood = "takes"
        assert (await submit(gateway)).status == 202


# Uploads


@pytest.mark.parametrize(
    ("content_type", "told"),
    [
        ("text/plain", "text"),
        ("text/plain; charset=utf-8", "text"),
        ("text/csv", "csv"),
        ("application/octet-stream", UNSET),
    ],
)
async def test_an_uploaded_list_lies_where_only_its_own_event_leads(
    start: Start, content_type: str, told: Any
) -> None:
    content = "\n".join(URLS).encode()
    async with start() as gateway:
        answer = await upload(gateway, content, content_type)
        assert answer.status == 202
        [event] = gateway.kafka.sent
        assert (gateway.private / kept_under(content)).read_bytes() == content
        assert len(gateway.uploads) == 1
    assert event.upload_sha256 == hashlib.sha256(content).hexdigest()
    assert event.idempotency_key == "k-1"
    assert (event.urls, event.list_url, event.list_format) == (UNSET, UNSET, told)


async def test_an_uploads_wishes_stand_in_the_query(start: Start) -> None:
    async with start() as gateway:
        query = "?recipe=original-size&list_column=image&list_format=csv&destination=archive"
        assert (
            await upload(gateway, b"image\nhttps://a.example/1", "text/plain", query)
        ).status == 202
        [event] = gateway.kafka.sent
    assert (event.recipe, event.destination) == ("original-size", "archive")
    assert (event.list_column, event.list_format) == ("image", "csv")


async def test_a_json_array_is_a_list_of_its_own(start: Start) -> None:
    content = json.dumps(URLS).encode()
    async with start() as gateway:
        answer = await upload(gateway, content, "application/json", "?recipe=original-size")
        assert answer.status == 202
        [event] = gateway.kafka.sent
        assert (gateway.private / kept_under(content)).read_bytes() == content
    assert (event.list_format, event.recipe) == ("json", "original-size")


async def test_a_long_list_in_a_json_object_is_kept_like_an_upload(start: Start) -> None:
    urls = [f"https://shop.example/{number}.jpg" for number in range(10_001)]
    async with start() as gateway:
        assert (await submit(gateway, {"urls": urls, "recipe": "original-size"})).status == 202
        [event] = gateway.kafka.sent
        [path] = gateway.uploads
        assert json.loads(path.read_bytes()) == urls
    assert (event.list_format, event.urls, event.recipe) == ("json", UNSET, "original-size")


@pytest.mark.parametrize("file_first", [True, False])
async def test_a_form_takes_its_fields_in_any_order(start: Start, file_first: bool) -> None:
    content = b"url\nhttps://shop.example/1.jpg\n"
    fields: list[Any] = [("recipe", "original-size"), ("deadline", "2126-11-21T00:00:00Z")]
    form = aiohttp.FormData()
    for name, value in [] if file_first else fields:
        form.add_field(name, value)
    form.add_field("file", content, filename="list.csv")
    for name, value in fields if file_first else []:
        form.add_field(name, value)
    async with start() as gateway:
        answer = await gateway.ask(
            "POST", "/v1/jobs", data=form, headers={"Idempotency-Key": "k-1"}
        )
        assert answer.status == 202
        [event] = gateway.kafka.sent
        assert (gateway.private / kept_under(content)).read_bytes() == content
    assert (event.recipe, event.list_format) == ("original-size", "csv")


async def test_a_list_of_100_000_lines_is_taken_and_one_more_is_not(start: Start) -> None:
    lines = [b"https://shop.example/%d.jpg" % number for number in range(100_000)]
    async with start() as gateway:
        assert (
            await upload(gateway, b"\r\n".join([*lines, b"", b" "]), "text/plain")
        ).status == 202
        answer = await upload(gateway, b"\n".join([*lines, b"x"]), "text/plain")
    assert (answer.status, answer.json["field"], answer.json["code"]) == (
        422,
        "file",
        "list_too_long",
    )


async def test_a_packed_list_is_taken_as_it_is(start: Start) -> None:
    content = gzip.compress("\n".join(URLS).encode())
    async with start() as gateway:
        assert (await upload(gateway, content, "application/gzip")).status == 202
        assert gateway.uploads[0].read_bytes() == content


async def test_the_same_upload_again_is_the_same_object_and_event(start: Start) -> None:
    async with start() as gateway:
        for _ in range(2):
            assert (await upload(gateway, b"https://a.example/1", "text/plain")).status == 202
        assert len(gateway.uploads) == 1
        first, second = gateway.kafka.sent
    assert first == second


# Refusals


def field(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json.get("field")


WRONG: dict[str, tuple[Any, tuple[int, str | None]]] = {
    "no list": ({}, (422, "urls")),
    "two lists": ({"urls": URLS, "list_url": "https://a.example/l"}, (422, "urls")),
    "an empty list": ({"urls": []}, (422, "urls")),
    "urls that are none": ({"urls": "https://a.example"}, (422, "urls")),
    "a number among the urls": ({"urls": [URLS[0], 7]}, (422, "urls[1]")),
    "an image without its url": ({"urls": [{"group": "a"}]}, (422, "urls[0].url")),
    "an unknown field": ({"urls": URLS, "recept": "default"}, (422, "recept")),
    "an unknown recipe": ({"urls": URLS, "recipe": "best"}, (422, "recipe")),
    "a recipe that can be none": ({"urls": URLS, "recipe": "A b"}, (422, "recipe")),
    "an unknown destination": ({"urls": URLS, "destination": "moon"}, (422, "destination")),
    "a deadline that is none": ({"urls": URLS, "deadline": "tomorrow"}, (422, "deadline")),
    "a deadline without an offset": (
        {"urls": URLS, "deadline": "2126-01-01T00:00:00"},
        (422, "deadline"),
    ),
    "a deadline in the past": ({"urls": URLS, "deadline": NOW.isoformat()}, (422, "deadline")),
    "a notify_url on this machine": (
        {"urls": URLS, "notify_url": "http://127.0.0.1/"},
        (422, "notify_url"),
    ),
    "a notify_url that is none": ({"urls": URLS, "notify_url": "ftp://a"}, (422, "notify_url")),
    "a list_url inside": ({"list_url": "http://kafka:9092/"}, (422, "list_url")),
    "a list_url with a password": ({"list_url": "https://a:b@c.example/"}, (422, "list_url")),
    "a format that is none": ({"urls": URLS, "list_format": "xml"}, (422, "list_format")),
    "another customer": ({"urls": URLS, "customer_id": "umbra"}, (403, "customer_id")),
    "a text": ("hello", (422, "body")),
    "nothing": (None, (400, None)),
}


@pytest.mark.parametrize("case", [case for case in WRONG if case != "nothing"])
async def test_what_is_wrong_is_named_and_nothing_is_sent(start: Start, case: str) -> None:
    body, expected = WRONG[case]
    async with start() as gateway:
        assert field(await submit(gateway, body)) == expected
        assert (gateway.kafka.sent, gateway.uploads) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"urls": [',
        b'{"urls":' + b"[" * 100_000,
        b'{"urls": ["\xff"]}',
        b"\x00",
        b'{"urls": ["x"]} more',
        b'{"a":' * 5_000,
    ],
)
async def test_a_body_that_is_no_json_is_malformed(start: Start, body: bytes) -> None:
    async with start() as gateway:
        answer = await upload(gateway, body, "application/json")
        assert answer.status in {400, 422}
        assert gateway.kafka.sent == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?colour=red", (422, "colour")),
        ("?recipe=best", (422, "recipe")),
        ("?recipe=default&recipe=default", (422, "recipe")),
        ("?deadline=soon", (422, "deadline")),
        ("?list_format=xml", (422, "list_format")),
        ("?customer_id=umbra", (403, "customer_id")),
    ],
)
async def test_what_is_wrong_in_the_query_is_named(
    start: Start, query: str, expected: tuple[int, str]
) -> None:
    async with start() as gateway:
        assert field(await upload(gateway, b"https://a.example/1", "text/plain", query)) == expected
        assert (gateway.kafka.sent, gateway.uploads) == ([], [])


@pytest.mark.parametrize("content", [b"", b"\n \r\n\t\n", b"\xef\xbb\xbf\n"])
async def test_an_empty_list_is_refused(start: Start, content: bytes) -> None:
    async with start() as gateway:
        answer = await upload(gateway, content, "text/plain")
        assert (field(answer), answer.json["code"]) == ((422, "file"), "list_empty")
        assert gateway.uploads == []


async def test_a_form_without_its_file_or_with_two_is_refused(start: Start) -> None:
    async with start() as gateway:
        form = aiohttp.FormData({"recipe": "default"}, default_to_multipart=True)
        assert field(await gateway.ask("POST", "/v1/jobs", data=form)) == (422, "file")
        form = aiohttp.FormData()
        for _ in range(2):
            form.add_field("file", b"https://a.example/1", filename="a.txt")
        assert field(await gateway.ask("POST", "/v1/jobs", data=form)) == (422, "file")
        form = aiohttp.FormData()
        form.add_field("colour", "red")
        form.add_field("file", b"https://a.example/1", filename="a.txt")
        assert field(await gateway.ask("POST", "/v1/jobs", data=form)) == (422, "colour")
        assert (gateway.kafka.sent, gateway.uploads) == ([], [])


async def test_a_form_of_endless_parts_is_refused_at_the_seventeenth(start: Start) -> None:
    async with start() as gateway:
        form = aiohttp.FormData()
        form.add_field("file", b"https://a.example/1", filename="a.txt")
        for number in range(MAX_FIELDS):
            form.add_field(f"field{number}", "x")
        answer = await gateway.ask("POST", "/v1/jobs", data=form)
        assert (answer.status, answer.json["detail"]) == (400, "the form has more than 16 parts")
        assert (gateway.kafka.sent, gateway.uploads) == ([], [])


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"--x\r\n", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhttps'],
)
async def test_a_form_that_breaks_off_is_refused(start: Start, body: bytes) -> None:
    async with start() as gateway:
        answer = await upload(gateway, body, "multipart/form-data; boundary=x")
        assert answer.status in {400, 422}
        assert (gateway.kafka.sent, gateway.uploads) == ([], [])


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type"),
        ({"Content-Type": "text/html"}, "Content-Type"),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, "Content-Encoding"),
    ],
)
async def test_other_types_are_refused_by_name(
    start: Start, headers: dict[str, str], named: str
) -> None:
    async with start() as gateway:
        answer = await gateway.ask("POST", "/v1/jobs", data=b"x", headers=headers)
        assert field(answer) == (415, named)


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "schlüssel", "a\tb"])
async def test_a_key_that_can_be_none_is_refused(start: Start, key: str) -> None:
    async with start() as gateway:
        answer = await submit(gateway, headers={"Idempotency-Key": key})
        assert field(answer) == (422, "Idempotency-Key")


async def test_the_key_of_another_list_is_refused(start: Start) -> None:
    async with start() as gateway:
        assert (await submit(gateway)).status == 202
        answer = await submit(gateway, {"urls": URLS[:1]})
        assert field(answer) == (422, "Idempotency-Key")
        assert answer.json["type"] == "urn:imagelane:problem:idempotency-key-reused"
        answer = await upload(gateway, b"https://a.example/1", "text/plain")
        assert field(answer) == (422, "Idempotency-Key")
        assert (len(gateway.kafka.sent), gateway.uploads) == (1, [])


async def test_another_notify_url_is_no_other_list(start: Start) -> None:
    async with start() as gateway:
        assert (await submit(gateway)).status == 202
        said = {"urls": URLS, "notify_url": "https://shop.example/hooks"}
        assert (await submit(gateway, said)).status == 202


async def test_the_same_key_of_two_customers_is_two_jobs(start: Start) -> None:
    async with start() as gateway:
        other = gateway.keys.token("umbra", "submit")
        first = await submit(gateway)
        second = await submit(gateway, {"urls": URLS[:1]}, token=other)
    assert second.status == 202
    assert first.json["job_id"] != second.json["job_id"]


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ({"images": 2}, 202),
        ({"images": None}, 202),
        ({"images": 3}, 422),
        ({"recipe": "original-size"}, 422),
        ({"destination": "archive"}, 422),
        ({"deadline": NOW}, 422),
        ({"recipe": "original-size", "status": "refused"}, 202),
    ],
)
async def test_what_the_tracker_knows_of_a_key_counts(
    start: Start, known: dict[str, Any], status: int
) -> None:
    async with start() as gateway:
        job_id = job_id_of_key(SECRET, "acme", "k-1")
        gateway.tracker.jobs.put(job_id, "acme", **known)
        assert (await submit(gateway)).status == status


async def test_a_refused_job_frees_its_key(start: Start) -> None:
    async with start() as gateway:
        job_id = (await submit(gateway)).json["job_id"]
        gateway.tracker.jobs.put(job_id, "acme", status="refused")
        assert (await submit(gateway, {"urls": URLS[:1]})).status == 202


async def test_lists_are_taken_while_the_tracker_is_away(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.is_there = False
        assert (await submit(gateway)).status == 202


async def test_an_operator_says_whose_list_it_is(start: Start) -> None:
    async with start() as gateway:
        operator = gateway.keys.token(None, "operate")
        assert field(await submit(gateway, token=operator)) == (422, "customer_id")
        answer = await submit(gateway, {"urls": URLS, "customer_id": "umbra"}, token=operator)
        assert (answer.status, answer.json["customer_id"]) == (202, "umbra")


async def test_a_customer_may_say_who_it_is(start: Start) -> None:
    async with start() as gateway:
        assert (await submit(gateway, {"urls": URLS, "customer_id": "acme"})).status == 202


# Bodies that are too much


async def test_too_large_a_body_is_refused_by_its_length_or_on_the_way(start: Start) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b"x" * 65_536

    async with start(max_list_bytes=100_000) as gateway:
        assert (await upload(gateway, b"x" * 100_001, "text/csv")).status == 413
        assert (await upload(gateway, flood(), "text/csv")).status == 413
        assert (await upload(gateway, b"[" + b" " * 200_000, "application/json")).status == 413
        assert (gateway.kafka.sent, gateway.uploads) == ([], [])


@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
async def test_a_body_that_stops_coming_is_cut(start: Start, content_type: str) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b'["https://a.example/1",\n'
        await asyncio.sleep(30)

    async with start() as gateway:
        assert (await upload(gateway, silent(), content_type)).status == 408
        assert (gateway.kafka.sent, gateway.uploads) == ([], [])


async def test_a_body_that_drips_is_cut(start: Start) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b"h"
            await asyncio.sleep(0.02)

    async with start() as gateway:
        assert (await upload(gateway, drip(), "text/plain")).status == 408


async def test_a_connection_that_breaks_leaves_nothing_behind(start: Start) -> None:
    async with start(body_seconds=10) as gateway:
        host, port = gateway.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n"
            "Content-Type: text/plain\r\nContent-Length: 1000\r\n\r\nhttps://a.example/1\n"
        )
        writer.write(head.encode())
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        # The slot is free again, so the gateway has noticed.
        slots = gateway.parts.submissions._slots
        await eventually(lambda: not slots._taken)
        assert (gateway.kafka.sent, gateway.uploads) == ([], [])


# Limits


async def test_more_jobs_in_a_minute_than_allowed_come_later(start: Start) -> None:
    async with start(jobs_per_minute=3) as gateway:
        answers = [await submit(gateway) for _ in range(4)]
        assert [answer.status for answer in answers] == [202, 202, 202, 429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20
        other = gateway.keys.token("umbra", "submit")
        assert (await submit(gateway, token=other)).status == 202


async def test_more_pending_than_allowed_comes_later(start: Start) -> None:
    async with start(max_pending_images=1_000, max_open_jobs=5) as gateway:
        gateway.tracker.jobs.put_lane("acme", open_jobs=4)
        gateway.tracker.jobs.pending = 999
        assert (await submit(gateway)).status == 202
        gateway.tracker.jobs.pending = 1_000
        assert (await submit(gateway)).status == 429
        gateway.tracker.jobs.pending = 0
        gateway.tracker.jobs.put_lane("acme", open_jobs=5)
        assert (await submit(gateway)).status == 429


async def test_a_customer_with_many_bodies_at_a_time_comes_later(start: Start) -> None:
    release = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"https://a.example/1\n"
        await release.wait()

    async with start(bodies_per_customer=1, body_seconds=10) as gateway:
        first = asyncio.create_task(upload(gateway, waiting(), "text/plain"))
        slots = gateway.parts.submissions._slots
        await eventually(lambda: bool(slots._taken))
        assert (await submit(gateway)).status == 429
        other = gateway.keys.token("umbra", "submit")
        assert (await submit(gateway, token=other)).status == 202
        release.set()
        assert (await first).status == 202
