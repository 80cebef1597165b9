"""What the store itself removes after a time: rules of a file, put to the buckets of a deployment.

Beside them everything lasts that nobody deletes. Rules of others on the same buckets stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import ClientError

from imagelane.platform.s3_store import open_s3_client
from imagelane.platform.store_settings import StoreSettings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

Say = Callable[[str], None]
Rule = dict[str, Any]
OURS: Final = "imagelane-"
HTTP_NOT_IMPLEMENTED: Final = 501


class LifecycleError(Exception):
    """The file cannot be read, or the server refuses its rules; the message says which and why."""


class LifecycleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """S3's own rules, with prefixes below the private part, or below the destination of that name."""

    private: list[Rule] = []
    destinations: dict[str, list[Rule]] = {}


def read_rules(path: Path) -> LifecycleFile:
    """Raises `LifecycleError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LifecycleFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise LifecycleError(f"{path}: {error}") from error


def rules_by_bucket(settings: StoreSettings, file: LifecycleFile) -> dict[str, list[Rule]]:
    """Every bucket's rules, with whole prefixes. Raises `LifecycleError` for a destination that is none."""
    unknown = file.destinations.keys() - settings.destinations.keys()
    if unknown:
        raise LifecycleError(f"{', '.join(sorted(unknown))}: not among the settings' destinations")
    found: dict[str, list[Rule]] = {}
    for bucket, prefix, part, rules in _parts(settings, file):
        found.setdefault(bucket, []).extend(_placed(rule, prefix, part) for rule in rules)
    return found


async def apply_rules(settings: StoreSettings, file: LifecycleFile, *, say: Say) -> bool:
    """Puts them to the buckets; False, and said, where the server knows no such rules. Raises `LifecycleError`."""
    async with open_s3_client(settings.s3) as client:
        for bucket, rules in rules_by_bucket(settings, file).items():
            try:
                others = await _others(client, bucket)
                await client.put_bucket_lifecycle_configuration(
                    Bucket=bucket,
                    LifecycleConfiguration={"Rules": [*others, *rules]},  # type: ignore[list-item] # as in the file
                )
            except ClientError as error:
                if error.response["ResponseMetadata"].get("HTTPStatusCode") == HTTP_NOT_IMPLEMENTED:
                    say("the server knows no lifecycle rules: nothing is removed by itself")
                    return False
                raise LifecycleError(f"bucket {bucket}: {error}") from error
            say(f"{bucket}: {', '.join(rule['ID'] for rule in rules)}")
    return True


def _parts(
    settings: StoreSettings, file: LifecycleFile
) -> Iterator[tuple[str, str, str, list[Rule]]]:
    if settings.private_bucket is not None:
        yield settings.private_bucket, settings.private_prefix, "private", file.private
    for name, one in settings.destinations.items():
        if one.bucket is not None and name in file.destinations:
            yield one.bucket, one.prefix, name, file.destinations[name]


def _placed(rule: Rule, prefix: str, part: str) -> Rule:
    below = prefix + rule.get("Filter", {}).get("Prefix", "")
    return {**rule, "ID": f"{OURS}{part}-{rule.get('ID', 'rule')}", "Filter": {"Prefix": below}}


async def _others(client: S3Client, bucket: str) -> list[Any]:
    try:
        answer = await client.get_bucket_lifecycle_configuration(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"].get("Code") == "NoSuchLifecycleConfiguration":
            return []
        raise
    return [rule for rule in answer["Rules"] if not rule.get("ID", "").startswith(OURS)]
