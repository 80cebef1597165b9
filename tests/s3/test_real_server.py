"""What only a real S3 server shows: who may read, whose checksum counts, and what a wrong setting says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from botocore.exceptions import ClientError

from imagelane.platform.s3_store import S3Store, open_s3_client
from imagelane.platform.s3_uploads import PART_BYTES, crc32_of
from imagelane.platform.store import PUBLIC_CACHE_CONTROL, ObjectHeaders, StoreUnavailableError
from imagelane.platform.store_settings import S3Settings, StoreSettings
from imagelane.platform.stores import Stores

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

JPEG = ObjectHeaders("image/jpeg", PUBLIC_CACHE_CONTROL)


async def test_results_are_for_everybody_with_their_headers(
    deployment: StoreSettings, stranger: aiohttp.ClientSession
) -> None:
    stores = await Stores.open(deployment)
    await stores.destination("default").put("open/job/0/image.jpg", b"pixels", JPEG)
    await stores.close()
    base = deployment.destinations["default"].public_base_url
    async with stranger.get(f"{base}/job/0/image.jpg") as answer:
        assert (answer.status, await answer.read()) == (200, b"pixels")
        assert answer.content_type == "image/jpeg"
        assert answer.headers["Cache-Control"] == PUBLIC_CACHE_CONTROL
    async with stranger.head(f"{base}/job/0/image.jpg") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "results?list-type=2"),
        ("GET", "results?list-type=2&prefix=open/"),
        ("GET", "results?uploads"),
        ("GET", "results?policy"),
        ("PUT", "results/open/job/0/image.jpg"),
        ("PUT", "results?policy"),
        ("POST", "results/open/job/0/image.jpg?uploads"),
        ("DELETE", "results/open/job/0/image.jpg"),
        ("GET", "results/closed/secret"),
        ("GET", "results/open/job/0/image.jpg?acl"),
        ("GET", "private/lists/acme/job"),
        ("GET", "private?list-type=2"),
        ("PUT", "private/lists/acme/job"),
        ("PUT", "a-new-bucket"),
        ("GET", ""),
    ],
)
async def test_nobody_else_may_do_anything_but_read_results(
    deployment: StoreSettings,
    owner: S3Client,
    stranger: aiohttp.ClientSession,
    method: str,
    path: str,
) -> None:
    there = [
        *[("results", key) for key in ("open/job/0/image.jpg", "closed/secret")],
        ("private", "lists/acme/job"),
    ]
    for bucket, key in there:
        await owner.put_object(Bucket=bucket, Key=key, Body=b"as it was")
    async with stranger.request(
        method, f"{deployment.s3.endpoint_url}/{path}", data=b"x"
    ) as answer:
        assert answer.status == 403
        assert b"as it was" not in await answer.read()
    for bucket, key in there:
        found = await owner.get_object(Bucket=bucket, Key=key)
        assert await found["Body"].read() == b"as it was"


async def test_bytes_that_are_not_those_of_their_checksum_are_refused(
    owner: S3Client,
) -> None:
    with pytest.raises(ClientError, match=r"BadDigest|checksum"):
        await owner.put_object(
            Bucket="private", Key="damaged", Body=b"pixels", ChecksumCRC32=crc32_of(b"pixel5")
        )
    store = S3Store(owner, "private")
    assert not await store.exists("damaged")


async def test_what_is_put_lies_there_with_its_checksum(
    owner: S3Client,
) -> None:
    store = S3Store(owner, "private")
    await store.put("checked", b"pixels", JPEG)
    head = await owner.head_object(Bucket="private", Key="checked", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == crc32_of(b"pixels")


async def test_an_upload_in_parts_that_fails_leaves_nothing(
    owner: S3Client,
) -> None:
    store = S3Store(owner, "private")
    await store.put("taken", b"first", JPEG)
    assert not await store.put("taken", bytes(PART_BYTES + 1), JPEG, if_absent=True)
    uploads = await owner.list_multipart_uploads(Bucket="private")
    assert uploads.get("Uploads", []) == []
    assert await store.get("taken") == b"first"


async def test_a_wrong_secret_is_refused_at_the_start_and_named(
    deployment: StoreSettings, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("another one")
    s3 = deployment.s3.model_copy(update={"secret_access_key_file": secret})
    with pytest.raises(StoreUnavailableError, match=r"PRIVATE_BUCKET.*S3__SECRET_ACCESS_KEY_FILE"):
        await Stores.open(deployment.model_copy(update={"s3": s3}))


async def test_a_key_that_nobody_knows_is_refused_at_the_start_and_named(s3: S3Settings) -> None:
    foreign = s3.model_copy(update={"access_key_id": "somebody-else"})
    async with open_s3_client(foreign) as client:
        with pytest.raises(StoreUnavailableError, match="S3__ACCESS_KEY_ID"):
            await S3Store(client, "private").probe()
