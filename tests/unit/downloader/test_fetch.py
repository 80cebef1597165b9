from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from imagelane.core.admission import admit
from imagelane.core.failures import Code
from imagelane.core.image_formats import DEFAULT_FORMATS, ImageFormat
from imagelane.downloader.fetch import Fetched, OriginalFetcher
from imagelane.platform.fetch_errors import FetchError
from imagelane.platform.guarded_http import GuardedClient, HttpGuardSettings
from imagelane.platform.store import ObjectHeaders, StoreUnavailableError
from imagelane.platform.stores import DirectoryStore

JPEG = b"\xff\xd8\xff\xe0" + bytes(2_000)
KEY = "originals/job/7"


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    settings = HttpGuardSettings(allowed_networks=(ip_network("127.0.0.0/8"),))
    async with GuardedClient(settings) as opened:
        yield opened


def serving(body: bytes, *, cut: bool = False, **headers: str) -> Any:
    async def handler(request: web.Request) -> web.StreamResponse:
        if not cut:
            return web.Response(body=body, headers=headers)
        response = web.StreamResponse(headers={"Content-Length": str(len(body) + 1)})
        await response.prepare(request)
        await response.write(body)
        assert request.transport is not None
        request.transport.close()
        return response

    return handler


@pytest.fixture
async def fetch(
    client: GuardedClient, image_server: Callable[[], Awaitable[Any]], tmp_path: Path
) -> Callable[..., Awaitable[Fetched]]:
    server = await image_server()

    async def run(
        body: bytes,
        *,
        store: Any = None,
        max_image_bytes: int = 1_000_000,
        formats: tuple[ImageFormat, ...] = DEFAULT_FORMATS,
        cut: bool = False,
        **headers: str,
    ) -> Fetched:
        server.handlers["/image"] = serving(body, cut=cut, **headers)
        fetcher = OriginalFetcher(
            client,
            store or DirectoryStore(tmp_path),
            max_image_bytes=max_image_bytes,
            formats=frozenset(formats),
        )
        return await fetcher.fetch(admit(f"{server.url}/image", client.policy), KEY)

    return run


Fetch = Callable[..., Awaitable[Fetched]]


@pytest.mark.parametrize("size", [4, 100, 70_000, 900_000])
async def test_an_image_is_stored_whole_with_its_size_and_hash(
    fetch: Fetch, tmp_path: Path, size: int
) -> None:
    image = b"\xff\xd8\xff" + os.urandom(size - 3)
    original = (await fetch(image)).original
    assert (tmp_path / KEY).read_bytes() == image
    assert original.key == KEY
    assert original.size_bytes == size
    assert original.sha256 == hashlib.sha256(image).hexdigest()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (JPEG, "text/html; charset=utf-8"),
        (b"<html>log in</html>", "image/jpeg"),
        (b"", "image/jpeg"),
        (b"\xff\xd8", "image/jpeg"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"%PDF-1.7", "image/png"),
        (b'{"error": "no"}', "application/json"),
        (b"\x00\x00\x00\x1cftypmp42" + bytes(100), "video/mp4"),
        (b"II*\x00" + bytes(100), "image/tiff"),
    ],
)
async def test_what_is_no_image_fails_and_is_not_stored(
    fetch: Fetch, tmp_path: Path, body: bytes, content_type: str
) -> None:
    with pytest.raises(FetchError) as failed:
        await fetch(body, **{"Content-Type": content_type})
    assert (failed.value.code, failed.value.transient) == (Code.NOT_AN_IMAGE, False)
    assert files_below(tmp_path) == []


async def test_an_image_s_content_type_does_not_matter(fetch: Fetch) -> None:
    assert (await fetch(JPEG, **{"Content-Type": "application/json"})).original.size_bytes == 2_004


async def test_tiff_is_taken_where_a_setting_says_so(fetch: Fetch) -> None:
    tiff = b"II*\x00" + bytes(100)
    assert (await fetch(tiff, formats=(ImageFormat.TIFF,))).original.size_bytes == 104


@pytest.mark.parametrize(
    ("arguments", "code"),
    [({"cut": True}, Code.BAD_RESPONSE), ({"max_image_bytes": 2_003}, Code.TOO_LARGE)],
)
async def test_half_an_image_is_not_stored(
    fetch: Fetch, tmp_path: Path, arguments: dict[str, Any], code: Code
) -> None:
    with pytest.raises(FetchError) as failed:
        await fetch(JPEG, **arguments)
    assert failed.value.code is code
    assert files_below(tmp_path) == []


class FullStore(DirectoryStore):
    """A store whose disk is full: its descriptor takes nothing."""

    @asynccontextmanager
    async def writing(self, key: str, headers: ObjectHeaders) -> AsyncIterator[int]:
        _ = key, headers
        descriptor = os.open("/dev/full", os.O_WRONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


async def test_a_full_disk_is_the_store_s_fault_and_not_the_image_s(
    fetch: Fetch, tmp_path: Path
) -> None:
    with pytest.raises(StoreUnavailableError, match="No space left"):
        await fetch(JPEG, store=FullStore(tmp_path))
