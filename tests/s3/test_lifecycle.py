"""Lifecycle rules: the file's are taken by a server that has them, and one that has none is said plainly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from tests.s3.servers import required_s3mock, with_lifecycle

from imagelane.ops.bucket_lifecycle import (
    LifecycleError,
    LifecycleFile,
    apply_rules,
    read_rules,
    rules_by_bucket,
)
from imagelane.ops.buckets import prepare_buckets
from imagelane.platform.s3_store import open_s3_client
from imagelane.platform.store_settings import DestinationSettings, S3Settings, StoreSettings

FILE: Final = Path(__file__).parents[2] / "compose" / "lifecycle.json"
OTHERS: Final[Any] = {
    "ID": "of-somebody-else",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 3},
}


def settings_on(s3: S3Settings) -> StoreSettings:
    destination = DestinationSettings(
        kind="s3",
        bucket="results",
        prefix="open/",
        access="presigned",
        public_base_url=f"{s3.endpoint_url}/results/open",
    )
    return StoreSettings(
        private_kind="s3",
        private_bucket="private",
        private_prefix="mine/",
        destinations={"default": destination},
        s3=s3,
    )


async def test_the_rules_of_the_file_are_kept_by_a_server_that_has_rules(tmp_path: Path) -> None:
    with with_lifecycle(required_s3mock(), tmp_path) as s3:
        settings = settings_on(s3)
        async with open_s3_client(s3) as client:
            for bucket in ("private", "results"):
                await client.create_bucket(Bucket=bucket)
            await client.put_bucket_lifecycle_configuration(
                Bucket="private", LifecycleConfiguration={"Rules": [OTHERS]}
            )
            for _again in range(2):
                assert await apply_rules(settings, read_rules(FILE), say=print)
            kept = {
                bucket: (await client.get_bucket_lifecycle_configuration(Bucket=bucket))["Rules"]
                for bucket in ("private", "results")
            }
    assert {one["ID"]: one["Filter"].get("Prefix") for one in kept["private"]} == {
        "of-somebody-else": "logs/",
        "imagelane-private-originals": "mine/originals/",
        "imagelane-private-uploads": "mine/uploads/",
        "imagelane-private-parts": "mine/",
    }
    days = {one["ID"]: one.get("Expiration", {}).get("Days") for one in kept["private"]}
    assert days["imagelane-private-originals"] == 7
    parts = [one.get("AbortIncompleteMultipartUpload") for one in kept["results"]]
    assert {"DaysAfterInitiation": 1} in parts


async def test_a_server_without_rules_is_said_plainly(deployment: StoreSettings) -> None:
    told: list[str] = []
    await prepare_buckets(deployment, say=told.append)
    assert not await apply_rules(deployment, read_rules(FILE), say=told.append)
    assert told[-1] == "the server knows no lifecycle rules: nothing is removed by itself"


def test_a_file_that_cannot_be_meant_is_refused(deployment: StoreSettings, tmp_path: Path) -> None:
    path = tmp_path / "lifecycle.json"
    path.write_text(json.dumps({"privat": []}))
    with pytest.raises(LifecycleError, match="privat"):
        read_rules(path)
    with pytest.raises(LifecycleError, match="elsewhere"):
        rules_by_bucket(deployment, LifecycleFile(destinations={"elsewhere": []}))
