"""Objects on their way into a bucket: in one request, or in parts, each with a checksum that the store compares."""

from __future__ import annotations

import base64
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from imagelane.platform.store import ObjectHeaders

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

PART_BYTES: Final = 8 << 20
"""A part, and the largest object that goes in one request: at 300 KB/s it is there before time is up."""


class Content(Protocol):
    """Bytes that can be read at any place, again and again."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        ...

    def at(self, offset: int, size: int) -> bytes:
        """Some of them."""
        ...


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes that somebody has."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        """See `Content`."""
        return len(self.data)

    def at(self, offset: int, size: int) -> bytes:
        """See `Content`."""
        whole = offset == 0 and size >= len(self.data)
        return self.data if whole else self.data[offset : offset + size]


@dataclass(frozen=True, slots=True)
class InFile:
    """The bytes of an open file; only what is asked for is in memory once more."""

    descriptor: int

    @property
    def size_bytes(self) -> int:
        """See `Content`."""
        return os.fstat(self.descriptor).st_size

    def at(self, offset: int, size: int) -> bytes:
        """See `Content`."""
        return os.pread(self.descriptor, size, offset)


@dataclass(frozen=True, slots=True)
class Upload:
    """One object to be put: where, with which headers, and only if there is none yet or in any case."""

    bucket: str
    key: str
    content: Content
    headers: ObjectHeaders
    if_absent: bool = False

    async def run(self, client: S3Client) -> None:
        """Puts it, as a whole or not at all. Raises the client's errors."""
        if self.content.size_bytes <= PART_BYTES:
            data = self.content.at(0, PART_BYTES)
            await client.put_object(
                **self._place(),
                **self._condition(),
                Body=data,
                ContentType=self.headers.content_type,
                CacheControl=self.headers.cache_control,
                ChecksumCRC32=crc32_of(data),
            )
        else:
            await self._in_parts(client)

    async def _in_parts(self, client: S3Client) -> None:
        begun = await client.create_multipart_upload(
            **self._place(),
            ContentType=self.headers.content_type,
            CacheControl=self.headers.cache_control,
            ChecksumAlgorithm="CRC32",
        )
        upload = begun["UploadId"]
        try:
            parts = [
                await self._put_part(client, upload, number, offset)
                for number, offset in enumerate(range(0, self.content.size_bytes, PART_BYTES), 1)
            ]
            await client.complete_multipart_upload(
                **self._place(),
                **self._condition(),
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except BaseException:
            # Nobody else would; what this misses the bucket's lifecycle rule removes.
            with suppress(BotoCoreError, ClientError, aiohttp.ClientError, TimeoutError, OSError):
                await client.abort_multipart_upload(**self._place(), UploadId=upload)
            raise

    async def _put_part(
        self, client: S3Client, upload: str, number: int, offset: int
    ) -> CompletedPartTypeDef:
        data = self.content.at(offset, PART_BYTES)
        checksum = crc32_of(data)
        done = await client.upload_part(
            **self._place(),
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ChecksumCRC32=checksum,
        )
        return {"PartNumber": number, "ETag": done["ETag"], "ChecksumCRC32": checksum}

    def _place(self) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": self.key}

    def _condition(self) -> dict[str, Any]:
        return {"IfNoneMatch": "*"} if self.if_absent else {}


def crc32_of(data: bytes) -> str:
    """The checksum as S3 writes it."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
