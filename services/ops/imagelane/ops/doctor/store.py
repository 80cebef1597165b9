"""Looks at the object store: writes a probe to each place, reads it back, and looks what strangers can see.

A probe's key is new each time, so that what is read was written now; it is removed afterwards.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from imagelane.core.destinations import Destination
from imagelane.ops.doctor.core.findings import Report, together
from imagelane.ops.doctor.core.store import PlaceSeen, judge_place
from imagelane.platform.directory_store import DirectoryStore
from imagelane.platform.settings import variable_of
from imagelane.platform.store import (
    PRIVATE_CACHE_CONTROL,
    PUBLIC_CACHE_CONTROL,
    ObjectHeaders,
    ObjectMissingError,
    ObjectStore,
    StoreUnavailableError,
)
from imagelane.platform.store_settings import S3Settings, StoreSettings
from imagelane.platform.stores import destinations_of
from imagelane.processor.public_look import PublicLook
from imagelane.processor.public_probe import IMAGE, OUTPUT

ANSWER_SECONDS: Final = 5.0
JOB_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
JOB_PREFIX: Final = "imagelanedoctor"
JOB_CHARS: Final = 32
MAX_PAGE_BYTES: Final = 1 << 20
LISTING: Final = b"<ListBucketResult"
OK: Final = 200
REFUSALS: Final = (aiohttp.ClientError, OSError, ValueError)
AGAIN_SECONDS: Final = (0.3, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part of the store is, and what it is called."""

    name: str
    variable: str
    directory: Path | None
    bucket: str | None
    prefix: str


def look_at_store(settings: StoreSettings) -> Report:
    """Every place of the settings. Raises nothing that a store can cause."""
    return together(map(judge_place, asyncio.run(_look(settings))))


async def _look(settings: StoreSettings) -> list[PlaceSeen]:
    job_id = JOB_PREFIX + "".join(
        secrets.choice(JOB_LETTERS) for _ in range(JOB_CHARS - len(JOB_PREFIX))
    )
    async with AsyncExitStack() as resources:
        looks = _Looks(settings, job_id, await resources.enter_async_context(_strangers()))
        wanted = [
            looks.at_private(),
            *map(looks.at, destinations_of(settings).values()),
        ]
        return list(await asyncio.gather(*wanted))


class _Looks:
    def __init__(
        self, settings: StoreSettings, job_id: str, stranger: aiohttp.ClientSession
    ) -> None:
        self._settings = settings
        self._job_id = job_id
        self._stranger = stranger

    async def at_private(self) -> PlaceSeen:
        """The part that nobody else may see."""
        own = self._settings
        kind = "directory" if own.private_directory is not None else "bucket"
        place = _Place(
            "the private part",
            variable_of(("store", f"private_{kind}")),
            own.private_directory,
            own.private_bucket,
            own.private_prefix,
        )
        key = f"{self._job_id}/probe"
        seen = PlaceSeen(place.name, place.variable)
        try:
            async with _opened(place, own.s3) as store:
                headers = ObjectHeaders("application/octet-stream", PRIVATE_CACHE_CONTROL)
                seen = await self._tried(seen, store, key, headers)
                if not seen.error:
                    seen = replace(
                        seen,
                        keeps_first=await _keeps_first(store, key, headers),
                        published_at=await self._read(self._unpublished(place, key)),
                        written_at=await self._written(place, key),
                        listed_at=await self._listed(self._listings(place)),
                    )
                    seen = replace(seen, left_behind=await self._removed(store, key))
        except StoreUnavailableError as error:
            return replace(seen, step="open", error=str(error))
        return seen

    async def at(self, destination: Destination) -> PlaceSeen:
        """A destination, at its public URL too."""
        own = self._settings.destinations[destination.name]
        where = "directory" if own.directory is not None else "bucket"
        place = _Place(
            f"the destination {destination.name!r}",
            variable_of(("store", "destinations", destination.name, where)),
            own.directory,
            own.bucket,
            "",
        )
        key = destination.key(self._job_id, 0, OUTPUT)
        address = destination.public_url(self._job_id, 0, OUTPUT)
        readable = destination.readable(address, datetime.now(UTC))
        closed = [address] if readable != address else []  # only who has a signature may read there
        seen = PlaceSeen(place.name, place.variable, public_url=address)
        try:
            async with _opened(place, self._settings.s3) as store:
                headers = ObjectHeaders(OUTPUT.content_type, PUBLIC_CACHE_CONTROL)
                seen = await self._tried(seen, store, key, headers)
                if not seen.error:
                    public = f"{destination.public_base_url}/"
                    seen = replace(
                        seen,
                        public_trouble=await _public_trouble(readable),
                        published_at=await self._read(closed),
                        written_at=await self._written(place, key),
                        listed_at=await self._listed([public, *self._listings(place)]),
                    )
                    seen = replace(seen, left_behind=await self._removed(store, key))
        except StoreUnavailableError as error:
            return replace(seen, step="open", error=str(error))
        return seen

    async def _tried(
        self, seen: PlaceSeen, store: ObjectStore, key: str, headers: ObjectHeaders
    ) -> PlaceSeen:
        try:
            await store.put(key, IMAGE, headers)
        except StoreUnavailableError as error:
            return replace(seen, step="write", error=str(error))
        try:
            found = await store.get(key)
        except (StoreUnavailableError, ObjectMissingError) as error:
            return replace(seen, step="read", error=str(error) or "it is not there")
        if found != IMAGE:
            return replace(seen, step="read", error="something else comes back")
        return seen

    async def _removed(self, store: ObjectStore, key: str) -> str:
        """Why not, or an empty string. With it a directory's folders, which are no objects."""
        try:
            if isinstance(store, DirectoryStore):
                await store.delete_folder(key.partition(self._job_id)[0] + self._job_id)
            else:
                await store.delete(key)
        except StoreUnavailableError as error:
            return str(error)
        return ""

    def _listings(self, place: _Place) -> Iterator[str]:
        if place.bucket is not None:
            query = {"list-type": "2", "max-keys": "1"}
            yield str(bucket_url(self._settings.s3, place.bucket).with_query(query))

    async def _listed(self, urls: Iterable[str]) -> str:
        for url in urls:
            page = await self._page(url)
            if LISTING in page or self._job_id.encode() in page:
                return url
        return ""

    def _unpublished(self, place: _Place, key: str) -> Iterator[str]:
        """Where the private part would be, if it were public."""
        for one in self._settings.destinations.values():
            yield f"{one.public_base_url}/{key}"
        if place.bucket is not None:
            yield f"{bucket_url(self._settings.s3, place.bucket)}/{place.prefix}{key}"

    async def _read(self, urls: Iterable[str]) -> str:
        """The first of them at which anybody gets the probe; empty if at none."""
        for url in urls:
            if await self._page(url) == IMAGE:
                return url
        return ""

    async def _written(self, place: _Place, key: str) -> str:
        """Where anybody can write: tried on the probe itself, and by a bucket only."""
        if place.bucket is None:
            return ""
        url = f"{bucket_url(self._settings.s3, place.bucket)}/{place.prefix}{key}"
        try:
            async with self._stranger.put(url, data=IMAGE, allow_redirects=False) as answer:
                return url if answer.status == OK else ""
        except REFUSALS:
            return ""

    async def _page(self, url: str) -> bytes:
        """What anybody gets there; empty if nothing."""
        try:
            async with self._stranger.get(url, allow_redirects=False) as answer:
                if answer.status != OK:
                    return b""
                return await answer.content.read(MAX_PAGE_BYTES)
        except REFUSALS:
            return b""  # who cannot be reached shows nothing


def _strangers() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    )


@asynccontextmanager
async def _opened(place: _Place, s3: S3Settings) -> AsyncIterator[ObjectStore]:
    """Raises `StoreUnavailableError`; makes nothing that is not there."""
    if place.bucket is None:
        root = (place.directory or Path()) / place.prefix
        if not root.is_dir():
            raise StoreUnavailableError(f"{root} is no folder")
        yield DirectoryStore(root)
        return
    # Here, so that an installation with directories only needs no aioboto3.
    from imagelane.platform import s3_store  # noqa: PLC0415 - see above

    async with s3_store.open_s3_client(s3) as client:
        store = s3_store.S3Store(client, place.bucket, prefix=place.prefix)
        await store.probe()
        yield store


async def _keeps_first(store: ObjectStore, key: str, headers: ObjectHeaders) -> bool:
    taken = await store.put(key, b"second", headers, if_absent=True)
    return not taken and await store.get(key) == IMAGE


async def _public_trouble(url: str) -> str:
    """After a moment, too: whoever serves it may come later than the store."""
    trouble = ""
    async with PublicLook() as look:
        for pause_seconds in AGAIN_SECONDS:
            trouble = await look.trouble_with(url, size_bytes=len(IMAGE), content=IMAGE)
            if not trouble:
                break
            await asyncio.sleep(pause_seconds)
    return trouble


def bucket_url(s3: S3Settings, bucket: str) -> URL:
    """Where the bucket is, for who has no credentials."""
    if s3.endpoint_url is None:
        return URL(f"https://{bucket}.s3.{s3.region}.amazonaws.com")
    endpoint = URL(s3.endpoint_url.rstrip("/"))
    if s3.path_style or _is_address(endpoint.host or ""):
        return endpoint / bucket
    return endpoint.with_host(f"{bucket}.{endpoint.host}")


def _is_address(host: str) -> bool:
    """Under which there can be no names of buckets; the client goes by the path there, too."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
