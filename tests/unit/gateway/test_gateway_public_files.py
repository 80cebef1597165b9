"""Public results of directory destinations: the right headers, and nothing but results."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest
from tests.unit.gateway.conftest import Gateway, Start
from yarl import URL

from imagelane.core.destinations import Destination
from imagelane.core.recipes import RECIPES
from imagelane.platform.store import ObjectHeaders
from imagelane.platform.stores import DirectoryStore

JOB = "abcdefghijklmnopqrstuvwxyz234567"
KEY = f"{JOB}/7/image.jpg"
JPEG = b"\xff\xd8\xff" + bytes(range(256)) * 40


def put(root: Path, key: str, body: bytes = JPEG) -> Path:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def get(gateway: Gateway, path: str, method: str = "GET") -> tuple[int, bytes]:
    url = URL(gateway.url + path, encoded=True)
    async with gateway.session.request(method, url) as answer:
        return answer.status, await answer.read()


async def test_what_the_store_wrote_is_served_at_its_public_url(
    start: Start, tmp_path: Path
) -> None:
    async with start(prefix="results/v1/") as gateway:
        base = f"{gateway.url}/public/default/results/v1"
        destination = Destination("default", "results/v1/", base)
        [output] = RECIPES["default"].outputs
        store = DirectoryStore(tmp_path)
        key = destination.key(JOB, 7, output)
        await store.put(key, JPEG, ObjectHeaders("image/jpeg", "public"))
        async with gateway.session.get(destination.public_url(JOB, 7, output)) as answer:
            assert (answer.status, await answer.read()) == (200, JPEG)


async def test_the_headers_are_those_of_a_public_image_that_never_changes(start: Start) -> None:
    async with start() as gateway:
        put(gateway.root, KEY)
        async with gateway.session.get(f"{gateway.url}/public/default/{KEY}") as answer:
            headers = answer.headers
        assert headers["Content-Type"] == "image/jpeg"
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Disposition"] == "inline"
        assert headers["Content-Length"] == str(len(JPEG))


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 5_000_000])
async def test_files_of_all_sizes_come_whole(start: Start, size: int) -> None:
    body = os.urandom(size)
    async with start() as gateway:
        put(gateway.root, KEY, body)
        assert await get(gateway, f"/public/default/{KEY}") == (200, body)


@pytest.mark.parametrize("size", [1_000, 5_000_000])
async def test_head_tells_the_size_and_sends_nothing(start: Start, size: int) -> None:
    async with start() as gateway:
        put(gateway.root, KEY, bytes(size))
        async with gateway.session.head(f"{gateway.url}/public/default/{KEY}") as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, str(size))
            assert await answer.read() == b""


async def test_who_has_the_file_already_is_told_so(start: Start) -> None:
    async with start() as gateway:
        put(gateway.root, KEY)
        url = f"{gateway.url}/public/default/{KEY}"
        async with gateway.session.get(url) as answer:
            etag = answer.headers["ETag"]
        async with gateway.session.get(url, headers={"If-None-Match": etag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with gateway.session.get(url, headers={"If-None-Match": '"other"'}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("extension", "content_type"),
    [("png", "image/png"), ("webp", "image/webp"), ("avif", "image/avif"), ("jpeg", "image/jpeg")],
)
async def test_the_content_type_follows_the_extension(
    start: Start, extension: str, content_type: str
) -> None:
    async with start() as gateway:
        key = f"{JOB}/0/large.{extension}"
        put(gateway.root, key)
        async with gateway.session.get(f"{gateway.url}/public/default/{key}") as answer:
            assert answer.headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    "path",
    [
        f"/public/default/{JOB}/7/other.jpg",
        f"/public/default/{JOB}/8/image.jpg",
        f"/public/default/{JOB}",
        f"/public/default/{JOB}/",
        f"/public/default/{JOB}/7",
        f"/public/default/{JOB}/7/",
        f"/public/default/{JOB}/07/image.jpg",
        f"/public/default/{JOB}/-7/image.jpg",
        f"/public/default/{JOB}/7/.image.jpg",
        f"/public/default/{JOB}/7/image.html",
        f"/public/default/{JOB}/7/image",
        f"/public/default/{JOB}/7/image.jpg/",
        f"/public/default/{JOB}/7//image.jpg",
        f"/public/default//{JOB}/7/image.jpg",
        f"/public/default/{JOB}/7/image.jpg%00",
        f"/public/default/{JOB}/7/image.jpg%0a",
        f"/public/default/{JOB}/7/../7/image.jpg/..",
        f"/public/default/{JOB}/%2e%2e/{JOB}/7/image.jpg",
        f"/public/default/../default/{JOB}/7/image.jpg",
        f"/public/default/%2e%2e%2f{JOB}/7/image.jpg",
        f"/public/default/{JOB.upper()}/7/image.jpg",
        f"/public/default/{JOB[:-1]}/7/image.jpg",
        f"/public/unknown/{JOB}/7/image.jpg",
        f"/public/../{JOB}/7/image.jpg",
        "/public/default/secret.txt",
        "/public/default/..%2fsecret.txt",
        "/public/default/%2fetc%2fpasswd",
        "/public/default/",
        "/public/default",
        "/public/",
        "/public",
        "/",
    ],
)
async def test_everything_but_a_result_is_a_404(start: Start, path: str) -> None:
    async with start() as gateway:
        put(gateway.root, KEY)
        put(gateway.root, f"{JOB}/7/image.html", b"<script>")
        put(gateway.root, f"{JOB}/7/.image.jpg")
        put(gateway.root, "secret.txt")
        put(gateway.root, f"{JOB.upper()}/7/image.jpg")
        status, body = await get(gateway, path)
        # A client takes `..` out of a path before it asks, so some of these become the file itself.
        assert (status, body) == (404, body) or URL(path).path == f"/public/default/{KEY}"
        assert b"script" not in body


async def test_paths_are_taken_as_they_come_over_the_wire(start: Start) -> None:
    async with start() as gateway:
        put(gateway.root, KEY)
        put(gateway.root.parent, "outside.jpg")
        host, port = gateway.url.removeprefix("http://").split(":")
        for path in (
            f"/public/default/../../{KEY}",
            f"/public/default/{JOB}/7/../../../outside.jpg",
            f"/public/default/{JOB}/7/..%2f..%2f..%2foutside.jpg",
            f"/public/default/{JOB}/7/..\\image.jpg",
            f"/public/default/{JOB}/../{KEY}",
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), path


async def test_only_what_lies_under_the_prefix_is_public(start: Start) -> None:
    async with start(prefix="results/") as gateway:
        put(gateway.root, KEY)
        put(gateway.root, f"other/{KEY}")
        put(gateway.root, f"results/{KEY}", b"result")
        assert (await get(gateway, f"/public/default/{KEY}"))[0] == 404
        assert (await get(gateway, f"/public/default/other/{KEY}"))[0] == 404
        assert await get(gateway, f"/public/default/results/{KEY}") == (200, b"result")


@pytest.mark.parametrize("where", ["the file", "its folder", "the job's folder"])
async def test_symbolic_links_are_not_followed(start: Start, where: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(outside, "7/image.jpg", b"secret")
    async with start() as gateway:
        job = gateway.root / JOB
        if where == "the file":
            (job / "7").mkdir(parents=True)
            (job / "7" / "image.jpg").symlink_to(outside / "7" / "image.jpg")
        elif where == "its folder":
            job.mkdir()
            (job / "7").symlink_to(outside / "7")
        else:
            job.symlink_to(outside)
        assert (await get(gateway, f"/public/default/{KEY}"))[0] == 404


async def test_what_is_no_regular_file_is_a_404_and_holds_nobody_up(start: Start) -> None:
    async with start() as gateway:
        folder = gateway.root / JOB / "7"
        folder.mkdir(parents=True)
        os.mkfifo(folder / "pipe.jpg")
        (folder / "folder.jpg").mkdir()
        for name in ("pipe.jpg", "folder.jpg"):
            async with asyncio.timeout(30):
                assert (await get(gateway, f"/public/default/{JOB}/7/{name}"))[0] == 404


async def test_no_descriptor_stays_open(start: Start) -> None:
    async with start() as gateway:
        put(gateway.root, KEY)
        put(gateway.root, f"{JOB}/8/image.jpg", bytes(2_000_000))
        paths = [f"/public/default/{JOB}/{index}/image.jpg" for index in (7, 8, 9)]
        for path in paths:  # the connection and the threads' own descriptors come first
            await get(gateway, path)
        before = open_descriptors()
        for path in paths * 10:
            await get(gateway, path)
        assert open_descriptors() <= before


async def test_a_reader_that_hangs_up_in_the_middle_leaves_nothing_open(start: Start) -> None:
    async with start() as gateway:
        put(gateway.root, KEY, bytes(20_000_000))
        before = open_descriptors()
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"{gateway.url}/public/default/{KEY}")
            await answer.content.readexactly(1_000)
            answer.close()
        for _ in range(500):
            if open_descriptors() <= before:
                return
            await asyncio.sleep(0.01)
        pytest.fail("a descriptor is still open")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
async def test_nobody_writes_here(start: Start, method: str) -> None:
    async with start() as gateway:
        path = put(gateway.root, KEY)
        assert (await get(gateway, f"/public/default/{KEY}", method))[0] == 405
        assert path.read_bytes() == JPEG
