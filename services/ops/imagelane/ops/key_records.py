"""Making and revoking API keys: records of the topic `keys`. A secret is shown once, and kept nowhere."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import UNSET

from imagelane.contracts.codec import encode, headers_of
from imagelane.contracts.keys import KeyRecorded, Scope
from imagelane.contracts.topics import KEYS
from imagelane.core.api_keys import (
    ID_BYTES,
    MAX_LIVE_KEYS,
    SECRET_BYTES,
    KeyRing,
    is_live,
    sha256_of,
    token_of,
)
from imagelane.ops.delivery import Letter, deliver
from imagelane.platform.key_log import read_keys
from imagelane.platform.secret_files import read_secret
from imagelane.platform.settings import KafkaSettings

SOURCE: Final = "/services/ops"
PARTITION: Final = 0


class ApiKeyError(Exception):
    """The key cannot be made or revoked; the message says why."""


def new_token() -> str:
    """A key that nobody has."""
    return token_of(secrets.token_bytes(ID_BYTES + SECRET_BYTES))[1]


def create(
    settings: KafkaSettings,
    *,
    name: str,
    customer_id: str | None,
    scopes: Sequence[Scope],
    expires_at: datetime | None = None,
) -> tuple[KeyRecorded, str]:
    """The record, and the key itself, which is nowhere else. Raises `ApiKeyError`, `DeliveryError`.

    A customer has two live keys at most: the one in use and the one that takes its place.
    """
    now = datetime.now(UTC)
    if customer_id is not None:
        _require_room(read_keys(settings), customer_id, now, already=MAX_LIVE_KEYS)
    token = new_token()
    key = record_of(
        token, name=name, customer_id=customer_id, scopes=scopes, expires_at=expires_at, now=now
    )
    put(settings, key)
    if customer_id is not None:
        try:
            # Somebody else may have made one at the same time: then the later one gives way.
            _require_room(read_keys(settings), customer_id, now, already=MAX_LIVE_KEYS + 1)
        except ApiKeyError:
            revoke(settings, key.key_id)
            raise
    return key, token


def record_of(
    token: str,
    *,
    name: str,
    customer_id: str | None,
    scopes: Sequence[Scope],
    expires_at: datetime | None,
    now: datetime,
) -> KeyRecorded:
    """What is kept of a key."""
    return KeyRecorded(
        key_id=token.split("_")[1],
        secret_sha256=sha256_of(token),
        scopes=sorted(set(scopes)),
        name=name,
        occurred_at=now,
        customer_id=UNSET if customer_id is None else customer_id,
        expires_at=UNSET if expires_at is None else expires_at,
    )


def revoke(settings: KafkaSettings, key_id: str) -> KeyRecorded:
    """The record as it is now; one that is revoked already stays as it is. Raises as `create`."""
    key = read_keys(settings).get(key_id)
    if key is None:
        raise ApiKeyError(f"there is no key {key_id}; see `imagelane keys list`")
    if key.revoked_at is UNSET:
        key = msgspec.structs.replace(key, revoked_at=datetime.now(UTC))
        put(settings, key)
    return key


def put(settings: KafkaSettings, key: KeyRecorded) -> None:
    """Records the key; every gateway knows it within a second. Raises `DeliveryError`."""
    letter = Letter(
        KEYS,
        key=key.key_id.encode(),
        value=encode(key),
        headers=headers_of(key, source=SOURCE),
        partition=PARTITION,
    )
    deliver(settings, [letter])


def keep_local_operator(settings: KafkaSettings, file: Path) -> str | None:
    """Records the key that the file holds, as an operator's; makes both where there is none.

    The key, if it is new. For a broker of one's own machine: the file holds the whole key.
    """
    is_new = not file.exists()
    if is_new:
        file.touch(mode=0o600)
        file.write_text(new_token(), encoding="utf-8")
    token = read_secret(file)
    key = record_of(
        token,
        name="this machine",
        customer_id=None,
        scopes=["operate"],
        expires_at=None,
        now=datetime.now(UTC),
    )
    kept = read_keys(settings).get(key.key_id)
    if kept is None or not is_live(kept, datetime.now(UTC)):
        put(settings, key)
    return token if is_new else None


def _require_room(ring: KeyRing, customer_id: str, now: datetime, *, already: int) -> None:
    live = ring.live(customer_id, now)
    if len(live) >= already:
        names = ", ".join(f"{key.key_id} ({key.name})" for key in live)
        raise ApiKeyError(
            f"{customer_id} has {len(live)} live keys, at most {MAX_LIVE_KEYS} are allowed: {names};"
            " revoke one first"
        )
