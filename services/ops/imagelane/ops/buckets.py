"""The buckets of a deployment: made if they are missing, with results that everybody may read but nobody list.

A destination that is `presigned` stays closed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from imagelane.platform.s3_store import open_s3_client
from imagelane.platform.store_settings import StoreSettings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

Say = Callable[[str], None]
Policy = dict[str, Any]
SID: Final = "ImagelaneResults"


async def prepare_buckets(settings: StoreSettings, *, say: Say) -> None:
    """Makes every bucket that the settings name, and opens what destinations publish. Can run at every start."""
    async with open_s3_client(settings.s3) as client:
        listed = await client.list_buckets()
        there = {bucket["Name"] for bucket in listed["Buckets"]}
        buckets = _buckets_of(settings)
        for bucket in buckets:
            if bucket not in there:
                await client.create_bucket(Bucket=bucket)
                say(f"made the bucket {bucket}")
        for bucket, prefixes in published(settings).items():
            await _publish(client, bucket, prefixes)
        say(f"{', '.join(buckets)}: as the settings say")


def published(settings: StoreSettings) -> dict[str, list[str]]:
    """Every bucket of results, with the prefixes that are open to everybody."""
    found: dict[str, list[str]] = {}
    for one in settings.destinations.values():
        if one.bucket is not None:
            open_to_all = [one.prefix] if one.access == "public" else []
            found.setdefault(one.bucket, []).extend(open_to_all)
    return {bucket: sorted(prefixes) for bucket, prefixes in found.items()}


def with_results_open(policy: Policy, bucket: str, prefixes: list[str]) -> Policy:
    """The policy, with one statement of ours: everybody may read objects below these prefixes, and do nothing else."""
    others = [one for one in policy.get("Statement", []) if one.get("Sid") != SID]
    read = {
        "Sid": SID,
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": [f"arn:aws:s3:::{bucket}/{prefix}*" for prefix in prefixes],
    }
    return {
        "Version": "2012-10-17",
        **policy,
        "Statement": [*others, *([read] if prefixes else [])],
    }


def _buckets_of(settings: StoreSettings) -> list[str]:
    private = [settings.private_bucket] if settings.private_bucket is not None else []
    return list(dict.fromkeys([*private, *published(settings)]))


async def _publish(client: S3Client, bucket: str, prefixes: list[str]) -> None:
    before = await _policy_of(client, bucket)
    policy = with_results_open(before, bucket, prefixes)
    if policy["Statement"]:
        await client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    elif before:
        await client.delete_bucket_policy(Bucket=bucket)


async def _policy_of(client: S3Client, bucket: str) -> Policy:
    try:
        answer = await client.get_bucket_policy(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"].get("Code") == "NoSuchBucketPolicy":
            return {}
        raise
    policy: Policy = json.loads(answer["Policy"])
    return policy
