"""The object store on S3 or anything that speaks it. The only module that knows aioboto3."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from imagelane.platform.object_keys import checked_key, checked_prefix
from imagelane.platform.s3_uploads import Content, InFile, InMemory, Upload
from imagelane.platform.settings import variable_of
from imagelane.platform.store import (
    Listed,
    ObjectHeaders,
    ObjectMissingError,
    StoreUnavailableError,
)
from imagelane.platform.store_settings import S3Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import PaginatorConfigTypeDef

CHUNK_BYTES: Final = 1 << 20
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 30
ATTEMPTS: Final = 3
CONFLICT_TRIES: Final = 5
PAGE_OBJECTS: Final = 1_000
CONFLICT_WAIT_SECONDS: Final = 0.2
ACCESS: Final = ("access_key_id", "secret_access_key_file", "region")
WHERE: Final = ("endpoint_url",)
HTTP_NOT_FOUND: Final = 404
HTTP_CONFLICT: Final = 409
HTTP_PRECONDITION_FAILED: Final = 412


@asynccontextmanager
async def open_s3_client(settings: S3Settings) -> AsyncIterator[S3Client]:
    """One client for the whole process; its connections are shared by every bucket."""
    session = aioboto3.Session(
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret(),
    )
    config = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path" if settings.path_style else "auto"},
        max_pool_connections=settings.max_connections,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        # Ours are plain headers (`Upload`); the newer default is a trailer, over which stores other than AWS stumble.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_supported",
    )
    async with session.client("s3", endpoint_url=settings.endpoint_url, config=config) as client:
        yield client


class S3Store:
    """Objects of one bucket below `prefix`. The client belongs to whoever opened it.

    The bucket's policy must allow `s3:ListBucket` too: without it S3 answers 403 for a missing key,
    which cannot be told from a store that refuses us.
    """

    def __init__(self, client: S3Client, bucket: str, *, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    async def probe(self) -> None:
        """Raises `StoreUnavailableError` if the bucket is absent, refuses us or does not answer.

        It names the bucket, and the variables that may be wrong.
        """
        try:
            with self._failures(""):
                await self._client.head_bucket(Bucket=self._bucket)
        except ObjectMissingError as error:
            raise StoreUnavailableError(
                f"bucket {self._bucket!r} does not exist at {self._client.meta.endpoint_url},"
                f" or is not shown to {variable_of(('store', 's3', 'access_key_id'))}"
            ) from error
        except StoreUnavailableError as error:
            refused = isinstance(error.__cause__, ClientError)
            names = [variable_of(("store", "s3", name)) for name in (ACCESS if refused else WHERE)]
            raise StoreUnavailableError(f"{error}; see {', '.join(names)}") from error.__cause__

    async def put(
        self, key: str, data: bytes, headers: ObjectHeaders, *, if_absent: bool = False
    ) -> bool:
        """See `ObjectStore.put`."""
        return await self._put(key, InMemory(data), headers, if_absent=if_absent)

    async def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        return b"".join([chunk async for chunk in self.stream(key)])

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """See `ObjectStore.stream`."""
        place = self._key(key)
        with self._failures(key):
            answer = await self._client.get_object(Bucket=self._bucket, Key=place)
        async with answer["Body"]:
            chunks = answer["Body"].iter_chunks(CHUNK_BYTES)
            while True:
                with self._failures(key):
                    chunk = await anext(chunks, b"")
                if not chunk:
                    return
                yield chunk

    async def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        place = self._key(key)
        try:
            with self._failures(key):
                await self._client.head_object(Bucket=self._bucket, Key=place)
        except ObjectMissingError:
            return False
        return True

    async def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        place = self._key(key)
        with self._failures(key):
            await self._client.delete_object(Bucket=self._bucket, Key=place)

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        """See `ObjectStore.list`. A thousand objects are a page."""
        place = self._prefix + checked_prefix(prefix)
        pages = self._client.get_paginator("list_objects_v2")
        size: PaginatorConfigTypeDef = {"PageSize": PAGE_OBJECTS}
        found = pages.paginate(Bucket=self._bucket, Prefix=place, PaginationConfig=size).__aiter__()
        while True:
            with self._failures(prefix):
                page = await anext(found, None)
            if page is None:
                return
            for one in page.get("Contents", ()):
                yield Listed(one["Key"].removeprefix(self._prefix), one["LastModified"])

    async def delete_folder(self, folder: str) -> None:
        """See `ObjectStore.delete_folder`. A thousand objects go with one request."""
        self._key(folder)
        keys: list[str] = []
        async for one in self.list(f"{folder}/"):
            keys.append(one.key)
            if len(keys) == PAGE_OBJECTS:
                await self._delete_all(keys)
                keys = []
        if keys:
            await self._delete_all(keys)

    @asynccontextmanager
    async def reading(self, key: str) -> AsyncIterator[int]:
        """See `ObjectStore.reading`: a memfd with the object's bytes."""
        with _memory_file() as descriptor:
            async for chunk in self.stream(key):
                os.write(descriptor, chunk)  # to memory: whole, or MemoryError
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield descriptor

    @asynccontextmanager
    async def writing(self, key: str, headers: ObjectHeaders) -> AsyncIterator[int]:
        """See `ObjectStore.writing`: a memfd, put when the block ends well."""
        self._key(key)
        with _memory_file() as descriptor:
            yield descriptor
            await self._put(key, InFile(descriptor), headers)

    async def close(self) -> None:
        """The client is closed by whoever opened it."""

    async def _put(
        self, key: str, content: Content, headers: ObjectHeaders, *, if_absent: bool = False
    ) -> bool:
        upload = Upload(self._bucket, self._key(key), content, headers, if_absent=if_absent)
        for _ in range(CONFLICT_TRIES):
            try:
                with self._failures(key):
                    await upload.run(self._client)
            except _TakenError:
                return False
            except _ConflictError:  # another conditional put of this key is under way
                await asyncio.sleep(CONFLICT_WAIT_SECONDS)
            else:
                return True
        raise StoreUnavailableError(
            f"{self._bucket}/{upload.key}: conditional put in endless conflict"
        )

    async def _delete_all(self, keys: Sequence[str]) -> None:
        with self._failures(keys[0]):
            answer = await self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": self._key(key)} for key in keys], "Quiet": True},
            )
        if errors := answer.get("Errors"):
            raise StoreUnavailableError(f"bucket {self._bucket!r}: cannot delete: {errors[0]}")

    def _key(self, key: str) -> str:
        return self._prefix + checked_key(key)

    @contextmanager
    def _failures(self, key: str) -> Iterator[None]:
        """Turns the client's errors into the port's."""
        try:
            yield
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status == HTTP_NOT_FOUND and "Bucket" not in error.response["Error"].get("Code", ""):
                raise ObjectMissingError(key) from error
            if status == HTTP_PRECONDITION_FAILED:
                raise _TakenError from error
            if status == HTTP_CONFLICT:
                raise _ConflictError from error
            raise StoreUnavailableError(f"bucket {self._bucket!r}: {error}") from error
        except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreUnavailableError(f"bucket {self._bucket!r}: {error}") from error


class _TakenError(Exception):
    """A conditional put found the key taken."""


class _ConflictError(Exception):
    """A conditional put met another one."""


@contextmanager
def _memory_file() -> Iterator[int]:
    descriptor = os.memfd_create("object", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
