"""The image server, as a process of its own and inside a test."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from imagelane.ops.image_server import Options, parse, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    (images / "below").mkdir(parents=True)
    (images / "small.jpg").write_bytes(b"small")
    (images / "large.png").write_bytes(bytes(3_000_000))
    (images / "below" / "x.jpg").write_bytes(b"x")
    (images / "link.jpg").symlink_to(images / "small.jpg")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "all.txt").write_text("http://127.0.0.1/1.jpg\n")
    return images


@pytest.fixture
def options(folder: Path) -> Options:
    return Options(folder=folder, lists=folder.parent / "lists")


async def get(url: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_files_and_lists_are_served(options: Options) -> None:
    async with serving(options) as url:
        assert await get(f"{url}/small.jpg") == (200, "image/jpeg", b"small")
        assert await get(f"{url}/large.png") == (200, "image/png", bytes(3_000_000))
        assert await get(f"{url}/small.jpg?number=7") == (200, "image/jpeg", b"small")
        assert await get(f"{url}/list/all.txt") == (200, "text/plain", b"http://127.0.0.1/1.jpg\n")


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/missing.jpg", "/below", "/below/x.jpg", "/below%2fx.jpg", "/link.jpg"),
        *("/list/", "/list/small.jpg", "/list/..%2fimages%2fsmall.jpg", "/%2e%2e"),
    ],
)
async def test_the_rest_is_a_404(options: Options, path: str) -> None:
    async with serving(options) as url:
        assert (await get(url + path))[0] == 404


@pytest.mark.parametrize("name", ["small.jpg", "large.png"])
async def test_head_tells_the_size(options: Options, folder: Path, name: str) -> None:
    async with (
        serving(options) as url,
        aiohttp.ClientSession() as session,
        session.head(f"{url}/{name}") as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Length"] == str((folder / name).stat().st_size)


async def test_an_answer_can_be_delayed_without_holding_up_the_others(folder: Path) -> None:
    async with serving(Options(folder=folder, lists=folder, delay_seconds=0.5)) as url:
        asked = time.monotonic()
        await asyncio.gather(*(get(f"{url}/small.jpg") for _ in range(10)))
        assert 0.5 <= time.monotonic() - asked < 4.5


def test_as_a_process_it_says_when_it_is_ready_and_ends_cleanly(folder: Path) -> None:
    command = [sys.executable, "-m", "imagelane.ops.image_server", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["ready"] is True
            assert asyncio.run(get(f"{ready['url']}/small.jpg"))[2] == b"small"
            os.kill(process.pid, signal.SIGTERM)
            _, errors = process.communicate(timeout=10)
            assert (process.returncode, errors) == (0, b"")
        finally:
            process.kill()


def test_a_port_in_use_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "imagelane.ops.image_server", "--folder", str(folder)]
        ended = subprocess.run(
            [*command, "--port", port], capture_output=True, text=True, timeout=30, check=False
        )
    assert ended.returncode == 2
    assert f"--port {port}" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--folder"),
        (["--folder", "/nowhere"], "/nowhere"),
        (["--folder", "/", "--delay-seconds", "-1"], "--delay-seconds"),
        (["--folder", "/", "--port", "x"], "--port"),
    ],
)
def test_wrong_usage_names_the_argument(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
