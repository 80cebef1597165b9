"""API keys: `il_<id>_<secret>`. Only the SHA-256 of a secret is kept: it has 256 random bits, so that is enough.

Customers' keys have the scopes `submit`, `read` or both, and say which customer it is. An operator's key
has the scope `operate`, which opens everything, and no customer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import UNSET

from imagelane.contracts.keys import KeyRecorded, Scope

MAX_LIVE_KEYS: Final = 2
"""Of a customer: the one in use, and the one that takes its place."""
ID_BYTES: Final = 7
SECRET_BYTES: Final = 32

_read: Final = re.compile(r"il_(?P<id>[a-z2-7]{12})_(?P<secret>[a-z2-7]{52})").fullmatch
_NOBODYS_SHA256: Final = hashlib.sha256(b"").hexdigest()


class Refusal(StrEnum):
    """Why a key opens nothing. Only who has the secret hears that it is expired or revoked."""

    UNKNOWN = "the API key is not valid"
    EXPIRED = "the API key has expired"
    REVOKED = "the API key was revoked"


class KeyRefusedError(Exception):
    """The key opens nothing."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the key says. `customer_id` is None for an operator."""

    key_id: str
    name: str
    customer_id: str | None
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether the key opens what needs this scope."""
        return scope in self.scopes or "operate" in self.scopes

    @property
    def signature(self) -> str:
        """How an audit names the caller."""
        return f"key {self.key_id} ({self.name})"[:255]


def token_of(random: bytes) -> tuple[str, str]:
    """A new key's id and the whole key, from 39 random bytes."""
    if len(random) != ID_BYTES + SECRET_BYTES:
        raise ValueError(f"{ID_BYTES + SECRET_BYTES} random bytes are needed")
    key_id = _base32(random[:ID_BYTES])
    return key_id, f"il_{key_id}_{_base32(random[ID_BYTES:])}"


def sha256_of(token: str) -> str:
    """What is kept of a key. Raises `KeyRefusedError` for what is none."""
    return _sha256(_parts(token)[1])


class KeyRing:
    """All keys, folded from their records in order; a later record of a key takes the earlier one's place."""

    def __init__(self) -> None:
        self._keys: dict[str, KeyRecorded] = {}

    def fold(self, key: KeyRecorded) -> None:
        """Takes in a record."""
        self._keys[key.key_id] = key

    def forget(self, key_id: str) -> None:
        """A key whose record is gone, or cannot be read, opens nothing."""
        self._keys.pop(key_id, None)

    def caller(self, token: str, now: datetime) -> Caller:
        """Who holds this key. Raises `KeyRefusedError`.

        Takes the same time whether there is such a key or not.
        """
        key_id, secret = _parts(token)
        key = self._keys.get(key_id)
        kept = key.secret_sha256 if key is not None else _NOBODYS_SHA256
        same = hmac.compare_digest(_sha256(secret), kept)
        if key is None or not same:
            raise KeyRefusedError(Refusal.UNKNOWN)
        if key.revoked_at is not UNSET:
            raise KeyRefusedError(Refusal.REVOKED)
        if not is_live(key, now):
            raise KeyRefusedError(Refusal.EXPIRED)
        return _caller(key)

    def get(self, key_id: str) -> KeyRecorded | None:
        """The key's last record."""
        return self._keys.get(key_id)

    def all(self) -> Sequence[KeyRecorded]:
        """Every key, the newest last."""
        return sorted(self._keys.values(), key=lambda key: (key.occurred_at, key.key_id))

    def live(self, customer_id: str, now: datetime) -> list[KeyRecorded]:
        """The customer's keys that open something now."""
        return [key for key in self.all() if key.customer_id == customer_id and is_live(key, now)]


def is_live(key: KeyRecorded, now: datetime) -> bool:
    """Whether the key opens something."""
    return key.revoked_at is UNSET and (key.expires_at is UNSET or now < key.expires_at)


def _caller(key: KeyRecorded) -> Caller:
    customer_id = None if key.customer_id is UNSET else key.customer_id
    scopes = frozenset(key.scopes)
    # A record that is half a customer's and half an operator's was not made by our command: the less holds.
    if customer_id is None:
        scopes &= {"operate"}
    else:
        scopes -= {"operate"}
    return Caller(key.key_id, key.name, customer_id, scopes)


def _parts(token: str) -> tuple[str, str]:
    found = _read(token)
    if found is None:
        raise KeyRefusedError(Refusal.UNKNOWN)
    return found["id"], found["secret"]


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().lower().rstrip("=")
