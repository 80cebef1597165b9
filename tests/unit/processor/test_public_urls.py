"""Promise I5: results are told only when everybody can read them at their public URLs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image
from prometheus_client import REGISTRY

from imagelane.contracts.parts import Failure, Output
from imagelane.core.destinations import Destination
from imagelane.core.failures import Code, failure
from imagelane.core.recipes import RECIPES
from imagelane.platform.health_parts import StartPart
from imagelane.platform.store import StoreUnavailableError
from imagelane.platform.stores import DirectoryStore, Stores
from imagelane.processor import public_look
from imagelane.processor.core.work import ImageWork
from imagelane.processor.public_look import PublicLook, VerifyingMaker
from imagelane.processor.public_probe import (
    AGAIN_SECONDS,
    IMAGE,
    JOB,
    PublicProbeError,
    prove_public,
)

Answer = Callable[[web.Request], web.StreamResponse]
PATH = f"/public/{JOB}/0/probe.gif"


@dataclass
class Server:
    """Serves what `answers` says, one after the other, the last one for ever."""

    answers: list[Answer]
    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return answer(request)


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Server]:
    server = Server(list(answers))
    app = web.Application()
    app.add_routes([web.get("/{path:.*}", server.serve)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def body(data: bytes) -> Answer:
    return lambda _request: web.Response(body=data)


def status(code: int) -> Answer:
    return lambda _request: web.Response(status=code)


def moved(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def prove(folder: Path, base_url: str, *, seconds: float = 10.0) -> StartPart:
    store = DirectoryStore(folder)
    start = StartPart()
    await prove_public(
        {"main": Destination("main", "photos/", f"{base_url}/public")},
        Stores(store, {"main": store}),
        start,
        patience_seconds=seconds,
    )
    return start


def test_the_probe_is_an_image() -> None:
    with Image.open(BytesIO(IMAGE)) as image:
        image.load()
        assert (image.format, image.size) == ("GIF", (1, 1))


async def test_a_destination_that_serves_what_was_put_there_is_public(tmp_path: Path) -> None:
    def from_disk(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(tmp_path / "photos" / JOB / "0" / "probe.gif")

    async with serving(from_disk) as server:
        await prove(tmp_path, server.url)
        await prove(tmp_path, server.url)  # the next start's is the same one
        assert server.asked == [f"GET {PATH}"] * 2


async def test_whoever_serves_it_may_start_later_than_we(tmp_path: Path) -> None:
    async with serving(status(404), status(502), body(IMAGE)) as server:
        start = await prove(tmp_path, server.url)
        assert len(server.asked) == 3
    assert start.is_ready() == (
        f"it waits for {server.url}{PATH}, which serves the destination 'main': it answers 502"
    )


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (status(404), "it answers 404"),
        (status(403), "it answers 403"),
        (body(b"<html>welcome</html>"), "it serves something else"),
        (body(IMAGE + b"!"), "it serves something else"),
        (moved, "it answers 302"),
    ],
)
async def test_a_destination_that_is_not_public_is_named_with_its_url(
    tmp_path: Path, answer: Answer, trouble: str
) -> None:
    async with serving(answer) as server:
        with pytest.raises(PublicProbeError) as raised:
            await prove(tmp_path, server.url, seconds=0.1)
    told = str(raised.value)
    for part in ("'main'", f"{server.url}{PATH}", trouble, "DESTINATIONS__MAIN__PUBLIC_BASE_URL"):
        assert part in told
    assert "IMAGELANE_PROCESSOR__PUBLIC_PROBE_SECONDS=0" in told


async def test_a_server_that_never_comes_is_waited_for_no_longer_than_allowed(
    tmp_path: Path,
) -> None:
    time = asyncio.get_running_loop().time
    began_at = time()
    with pytest.raises(PublicProbeError, match="Cannot connect"):
        await prove(tmp_path, "http://127.0.0.1:1", seconds=3 * AGAIN_SECONDS)
    assert 3 * AGAIN_SECONDS <= time() - began_at < 5.0


@dataclass
class Made:
    outcome: list[Output] | Failure

    async def make(self, _work: ImageWork) -> list[Output] | Failure:
        return self.outcome


WORK = ImageWork("a" * 32, 0, "k", RECIPES["default"], Destination("main", "", "http://unused"))


def output(url: str) -> Output:
    return Output(name="image", url=url, content_type="image/jpeg", width=1, height=1, size_bytes=5)


def seen_unreadable() -> float:
    return REGISTRY.get_sample_value("imagelane_processor_unreadable_results_total") or 0.0


async def test_a_result_is_told_when_it_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_look, "WAITS_SECONDS", (0.0, 0.0))
    before = seen_unreadable()
    async with serving(status(404), body(b"12345")) as server, PublicLook() as look:
        made = [output(f"{server.url}/1.jpg")]
        assert await VerifyingMaker(Made(made), look).make(WORK) is made
        assert server.asked == ["HEAD /1.jpg"] * 2
    assert seen_unreadable() - before == 1.0


@pytest.mark.parametrize("answer", [status(404), body(b"1234"), moved])
async def test_a_result_that_stays_unreadable_is_the_store_s_fault(
    monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(public_look, "WAITS_SECONDS", (0.0, 0.0))
    async with serving(answer) as server, PublicLook() as look:
        with pytest.raises(StoreUnavailableError, match="cannot be read, though it is stored"):
            await VerifyingMaker(Made([output(f"{server.url}/1.jpg")]), look).make(WORK)
        assert len(server.asked) == 3


async def test_an_image_that_failed_is_not_looked_for() -> None:
    failed = failure(Code.CORRUPT)
    async with serving(status(500)) as server, PublicLook() as look:
        assert await VerifyingMaker(Made(failed), look).make(WORK) is failed
        assert server.asked == []
