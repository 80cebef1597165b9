"""Lists of every kind, handed in over HTTP: right ones go all the way, wrong ones leave nothing behind."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from tests.chaos.system import Job
from tests.chaos.trial import Fault, Trial

IMAGES: Final = 30
MOST_LINES: Final = 100_000
LARGE_BYTES: Final = 33 * 1024**2
LONG_SECONDS: Final = 600.0
DEATHS: Final = (
    (0.05, "intake"),
    (0.15, "batcher-1"),
    (0.25, "dispatcher-1"),
    (0.35, "intake"),
    (0.45, "batcher-2"),
)
"""Who is killed when so much of the longest list has been read."""
NOT_YET: Final = 503
TEXT: Final = "text/plain"
MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Given:
    """A right list: its bytes, what they are, how many images that is, and which of them cannot be had."""

    name: str
    body: bytes
    images: int
    kind: str = TEXT
    query: dict[str, str] = field(default_factory=dict)
    bad: tuple[int, ...] = ()


def right_lists(urls: list[str]) -> list[Given]:
    """Every shape of the same list of images."""
    lines = [url.encode() for url in urls]
    text, count = b"\n".join(lines), len(urls)
    broken = b"\n".join(
        b"no url at all" if number % 10 == 3 else line for number, line in enumerate(lines)
    )
    table = b"sku,image\r\n" + b"".join(b"%d,%b\r\n" % (n, line) for n, line in enumerate(lines))
    return [
        Given("crlf", b"\r\n".join(lines), count),
        Given("mark", MARK + text + b"\n", count),
        Given("blanks", b"\n \n\n".join([b"", *lines, b""]), count),
        Given("twice", text + b"\n" + text, 2 * count),
        Given("gzip", gzip.compress(text), count, "application/gzip"),
        Given("json", json.dumps(urls).encode(), count, "application/json"),
        Given("csv", table, count, "text/csv", {"list_column": "image"}),
        Given("broken", broken, count, bad=tuple(range(3, count, 10))),
    ]


def wrong_lists(urls: list[str]) -> list[tuple[str, bytes | AsyncIterator[bytes], str, set[int]]]:
    """Name, bytes, type and the answers that are right."""
    many = b"https://shop.example/1.jpg\n" * (MOST_LINES + 1)
    text = "\n".join(urls).encode()
    return [
        ("empty", b"", TEXT, {400, 422}),
        ("blank", b"\n \r\n\n", TEXT, {400, 422}),
        ("too many lines", many, TEXT, {413, 422}),
        ("too many bytes", b"x" * LARGE_BYTES, TEXT, {413}),
        ("no list", text, "image/jpeg", {415}),
        ("slow", dripping(text), TEXT, {408}),
    ]


async def dripping(body: bytes) -> AsyncIterator[bytes]:
    """A byte every second."""
    for byte in body:
        yield bytes([byte])
        await asyncio.sleep(1.0)


async def every_kind(trial: Trial) -> None:
    """All of them after each other; then one key for two requests at a time, and for two lists."""
    system = trial.system
    urls = system.images.urls(IMAGES)
    for given in right_lists(urls):
        await taken(trial, given)
    refused = [
        await refuses(trial, name, body, kind, right)
        for name, body, kind, right in wrong_lists(urls)
    ]
    refused.append(await breaks_off(trial, "\n".join(urls).encode()))
    await one_key(trial, urls)
    trial.healed()
    await system.finished(trial.jobs)
    half = [job for job in refused if job in system.onlooker.accepted]
    assert not half, f"lists that were refused have become the jobs {half}"


async def longest(trial: Trial) -> None:
    """As many lines as there may be, nearly all no URLs: each a recorded failure, whoever dies while they are read."""
    lines = [f"line {number}" for number in range(MOST_LINES)]
    places = [*range(0, MOST_LINES, MOST_LINES // IMAGES)]
    for place, url in zip(places, trial.system.images.urls(len(places)), strict=True):
        lines[place] = url
    bad = tuple(sorted(set(range(MOST_LINES)).difference(places)))
    await taken(trial, Given("longest", "\n".join(lines).encode(), MOST_LINES, bad=bad))
    for share, name in DEATHS:
        await trial.under_way("processed", share)
        await trial.system.kill(name)
    trial.healed()
    await trial.system.finished(trial.jobs, LONG_SECONDS)


async def taken(trial: Trial, given: Given) -> None:
    """Hands a right list in."""
    customer = f"{trial.name}-{given.name}"
    noted(trial, customer, given.name, given.images, given.bad)
    status, told = await post(trial, customer, given.name, given.body, given.kind, given.query)
    assert status == 202, f"{given.name}: {status} {told}"
    assert told["job_id"] == trial.jobs[-1].job_id, f"{given.name} is another job"


async def refuses(
    trial: Trial, name: str, body: bytes | AsyncIterator[bytes], kind: str, right: set[int]
) -> str:
    """Hands a wrong list in; the job that it must not become."""
    customer = f"{trial.name}-wrong"
    status, told = await post(trial, customer, name, body, kind, {})
    assert status in right, f"{name}: {status} {told}, and not one of {sorted(right)}"
    return trial.system.job_id(customer, name)


async def breaks_off(trial: Trial, body: bytes) -> str:
    """Hands half of a list in, and is gone; the job that it must not become."""
    customer, name = f"{trial.name}-wrong", "half"
    host, _, port = trial.system.stack.gateway_url.removeprefix("http://").partition(":")
    _reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/jobs?customer_id={customer} HTTP/1.1\r\nHost: {host}\r\nIdempotency-Key: {name}\r\n"
    head += f"Authorization: {trial.system.bearer}\r\nContent-Type: {TEXT}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
    writer.transport.abort()
    return trial.system.job_id(customer, name)


async def one_key(trial: Trial, urls: list[str]) -> None:
    """The same list twice at a time is one job; another list under its key is none."""
    customer, key = f"{trial.name}-key", "one-key"
    body = "\n".join(urls).encode()
    noted(trial, customer, key, len(urls), ())
    answers = await asyncio.gather(*(post(trial, customer, key, body, TEXT, {}) for _ in range(2)))
    told = {(status, said.get("job_id")) for status, said in answers}
    assert told == {(202, trial.jobs[-1].job_id)}, f"the same list twice: {answers}"
    status, said = await post(trial, customer, key, body + b"\n" + body, TEXT, {})
    assert status == 422, f"another list under the same key: {status} {said}"


def noted(trial: Trial, customer: str, key: str, images: int, bad: tuple[int, ...]) -> None:
    """Tells the checker of a list that is to be taken."""
    job = Job(customer, trial.system.job_id(customer, key), images)
    told: dict[str, Any] = {"job": job.job_id, "bad": [*bad]}
    trial.system.history.write("submit", customer=customer, images=images, **told)
    trial.jobs.append(job)


async def post(
    trial: Trial,
    customer: str,
    key: str,
    body: bytes | AsyncIterator[bytes],
    kind: str,
    query: dict[str, str],
) -> tuple[int, dict[str, Any]]:
    """The gateway's answer; 0 where it has cut the connection. While it reads its keys, again."""
    url = f"{trial.system.stack.gateway_url}/v1/jobs"
    headers = {"Authorization": trial.system.bearer, "Content-Type": kind, "Idempotency-Key": key}
    while True:
        data = io.BytesIO(body) if isinstance(body, bytes) else body
        params = {"customer_id": customer, **query}
        try:
            request = trial.system.http.post(url, data=data, headers=headers, params=params)
            async with request as answer:
                status, said = answer.status, await answer.json(content_type=None)
        except aiohttp.ClientError as error:
            return 0, {"error": repr(error)}
        if status != NOT_YET:
            return status, said
        await asyncio.sleep(0.1)


FAULTS: Final = [
    Fault("F34:kinds", "lists of every kind, whole, wrong, slow, cut and twice", every_kind),
    Fault(
        "F34:longest",
        f"a list of {MOST_LINES:,} lines, most of them no URLs, and deaths while it is read",
        longest,
    ),
]
