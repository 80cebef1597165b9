"""Presigned results on a real server: closed to everybody but to those who got a URL, for as long as it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
import pytest

from imagelane.core.destinations import Destination
from imagelane.core.recipes import RECIPES
from imagelane.ops.buckets import prepare_buckets
from imagelane.platform.store import PUBLIC_CACHE_CONTROL, ObjectHeaders
from imagelane.platform.store_settings import DestinationSettings, StoreSettings
from imagelane.platform.stores import Stores, destinations_of

JPEG: Final = ObjectHeaders("image/jpeg", PUBLIC_CACHE_CONTROL)
OUTPUT: Final = RECIPES["default"].outputs[0]
JOB: Final = "a" * 32


@pytest.fixture
async def closed(deployment: StoreSettings) -> Destination:
    """A destination with one result, in a bucket that was open before."""
    settings = DestinationSettings(
        kind="s3",
        bucket="closed",
        access="presigned",
        presigned_seconds=3_600,
        public_base_url=f"{deployment.s3.endpoint_url}/closed",
    )
    store = deployment.model_copy(update={"destinations": {"default": settings}})
    opened = {"default": settings.model_copy(update={"access": "public"})}
    for one in (store.model_copy(update={"destinations": opened}), store):
        await prepare_buckets(one, say=print)
    destination = destinations_of(store)["default"]
    stores = await Stores.open(store)
    await stores.destination("default").put(destination.key(JOB, 0, OUTPUT), b"pixels", JPEG)
    await stores.close()
    return destination


async def status_of(stranger: aiohttp.ClientSession, url: str) -> int:
    async with stranger.get(url) as answer:
        assert (await answer.read() == b"pixels") == (answer.status == 200)
        return answer.status


async def test_a_result_is_read_by_a_signed_url_only(
    closed: Destination, stranger: aiohttp.ClientSession
) -> None:
    address, now = closed.public_url(JOB, 0, OUTPUT), datetime.now(UTC)
    signed = closed.readable(address, now)
    assert await status_of(stranger, signed) == 200
    assert await status_of(stranger, closed.readable(address, now - timedelta(minutes=55))) == 200
    assert await status_of(stranger, address) == 403
    assert await status_of(stranger, closed.readable(address, now - timedelta(hours=2))) == 403
    assert await status_of(stranger, signed.replace("/0/", "/1/")) == 403
    assert await status_of(stranger, signed[:-2] + "00") in (403, 400)
    async with stranger.delete(signed) as answer:
        assert answer.status == 403
    assert await status_of(stranger, signed) == 200
