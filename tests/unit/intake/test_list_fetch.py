"""Fetching a list from a loopback server: what it may be, what is tried again, what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from imagelane.contracts.events import ListSubmitted
from imagelane.core.failures import Code
from imagelane.intake.core.refusals import ListRefusedError
from imagelane.intake.list_fetch import ListFetcher
from imagelane.intake.settings import IntakeSettings
from imagelane.intake.uploads import UploadedLists
from imagelane.platform.guarded_http import GuardedClient, HttpGuardSettings

NO_UPLOADS = cast("UploadedLists", None)
LINES = b"https://a.example/0.jpg\nhttps://a.example/1.jpg\n"


@dataclass(frozen=True)
class Answer:
    body: bytes = LINES
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


CUT_OFF = Answer(status=0)


class ListServer:
    """Answers each request with the next of its answers, and with the last one for good."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests = 0
        application = web.Application()
        application.router.add_get("/{name}", self._answer)
        self._server = TestServer(application)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        answer = self.answers[min(self.requests, len(self.answers) - 1)]
        self.requests += 1
        if answer is CUT_OFF:
            response = web.StreamResponse(headers={"Content-Length": str(2 * len(LINES))})
            await response.prepare(request)
            await response.write(LINES)
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)

    async def start(self) -> None:
        await self._server.start_server()

    async def close(self) -> None:
        await self._server.close()

    def url(self, name: str) -> str:
        return str(self._server.make_url(f"/{name}"))


@pytest.fixture
async def server() -> AsyncIterator[ListServer]:
    one = ListServer()
    await one.start()
    yield one
    await one.close()


async def fetched(
    server: ListServer, *answers: Answer, name: str = "list", networks: str = "127.0.0.0/8"
) -> int:
    """How many images the list has."""
    server.answers = list(answers)
    guards = HttpGuardSettings.model_validate({"allowed_networks": [networks]})
    settings = IntakeSettings(
        deployment_secret=SecretStr("sixteen letters!"),
        fetch_attempts=3,
        fetch_backoff_seconds=0.01,
        max_list_lines=1_000,
        max_list_bytes=100_000,
        max_fetched_bytes=10_000,
    )
    submitted = ListSubmitted(customer_id="acme", list_url=server.url(name))
    async with GuardedClient(guards) as client:
        return (await ListFetcher(client, NO_UPLOADS, settings).images(submitted)).images


async def refused(server: ListServer, *answers: Answer, networks: str = "127.0.0.0/8") -> str:
    with pytest.raises(ListRefusedError) as caught:
        await fetched(server, *answers, networks=networks)
    assert caught.value.failure.code.startswith("list_")
    return f"{caught.value.failure.code} {caught.value.failure.reason}"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("list.txt", LINES),
        ("list.txt.gz", gzip.compress(LINES, mtime=0)),
        ("list.json", json.dumps(LINES.decode().split()).encode()),
        ("list.csv", b"n,url\r\n" + LINES.replace(b"https", b"1,https")),
        ("list.csv.gz", gzip.compress(b"url\n" + LINES, mtime=0)),
    ],
)
async def test_every_format_is_read(server: ListServer, name: str, body: bytes) -> None:
    assert await fetched(server, Answer(body), name=name) == 2


async def test_an_inline_list_needs_no_server() -> None:
    settings = IntakeSettings(deployment_secret=SecretStr("sixteen letters!"))
    submitted = ListSubmitted(customer_id="acme", urls=["https://a.example", "", "x"])
    async with GuardedClient(HttpGuardSettings()) as client:
        assert (await ListFetcher(client, NO_UPLOADS, settings).images(submitted)).images == 3


async def test_what_may_pass_is_tried_again(server: ListServer) -> None:
    assert await fetched(server, Answer(status=503), Answer(status=502), Answer()) == 2
    assert server.requests == 3


async def test_the_tries_have_an_end(server: ListServer) -> None:
    told = await refused(server, Answer(status=503))
    assert told.startswith(Code.LIST_UNREADABLE)
    assert "`list_url`" in told
    assert server.requests == 3


async def test_what_will_not_change_is_tried_once(server: ListServer) -> None:
    told = await refused(server, Answer(status=404))
    assert told.startswith(Code.LIST_UNREADABLE)
    assert "does not have" in told
    assert server.requests == 1


async def test_an_address_that_may_not_be_reached_is_not_dialled(server: ListServer) -> None:
    told = await refused(server, Answer(), networks="192.0.2.0/24")
    assert told.startswith(Code.LIST_UNREADABLE)
    assert server.requests == 0


@pytest.mark.parametrize(
    "body",
    [b"https://a.example\n" * 1_000, gzip.compress(b"x" * 999_999, mtime=0), b"\n" * 9_999_999],
)
async def test_a_list_that_is_too_large_is_refused_once(server: ListServer, body: bytes) -> None:
    assert (await refused(server, Answer(body))).startswith(Code.LIST_TOO_LARGE)
    assert server.requests == 1


async def test_a_web_page_is_refused(server: ListServer) -> None:
    page = Answer(b"<html>", headers={"Content-Type": "text/html"})
    assert "web page" in await refused(server, page)


async def test_a_list_that_is_cut_off_is_not_half_accepted(server: ListServer) -> None:
    assert (await refused(server, CUT_OFF)).startswith(Code.LIST_UNREADABLE)
    assert server.requests == 3
    whole = gzip.compress(LINES)
    assert (await refused(server, Answer(whole[:-9]))).startswith(Code.LIST_UNREADABLE)


async def test_what_was_read_before_a_cut_does_not_count(server: ListServer) -> None:
    assert await fetched(server, CUT_OFF, Answer()) == 2
