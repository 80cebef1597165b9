"""A real S3 server, with buckets as a deployment makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.s3.servers import real, required_versitygw

from imagelane.ops.buckets import prepare_buckets
from imagelane.platform.s3_store import open_s3_client
from imagelane.platform.store_settings import DestinationSettings, S3Settings, StoreSettings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


@pytest.fixture(scope="session")
def versitygw() -> Path:
    return required_versitygw()


@pytest.fixture(scope="session")
def s3(versitygw: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Settings]:
    with real(versitygw, tmp_path_factory.mktemp("s3")) as settings:
        yield settings


@pytest.fixture(scope="session")
def deployment(s3: S3Settings) -> StoreSettings:
    """Results below a prefix of a bucket in which also something else lies."""
    settings = StoreSettings(
        private_kind="s3",
        private_bucket="private",
        destinations={
            "default": DestinationSettings(
                kind="s3",
                bucket="results",
                prefix="open/",
                public_base_url=f"{s3.endpoint_url}/results/open",
            )
        },
        s3=s3,
    )
    for _start in range(2):
        asyncio.run(prepare_buckets(settings, say=print))
    return settings


@pytest.fixture
async def owner(deployment: StoreSettings) -> AsyncIterator[S3Client]:
    """The client of the one who may do everything."""
    async with open_s3_client(deployment.s3) as client:
        yield client


@pytest.fixture
async def stranger() -> AsyncIterator[aiohttp.ClientSession]:
    """Anybody, without credentials."""
    async with aiohttp.ClientSession() as http:
        yield http
