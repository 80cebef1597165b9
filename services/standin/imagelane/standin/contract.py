"""What travels over the wire, as the reference contract of the external batch API says."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Status = Literal["active", "completed", "partial", "failed"]
Level = Literal["A", "B", "C", "D"]

MAX_KEY_CHARS: Final = 255


class InvalidRequestError(ValueError):
    """A body that does not fit the contract: 422. `invalid` names the URLs at fault, if any."""

    def __init__(self, message: str, invalid: list[FailedUrl] | None = None) -> None:
        super().__init__(message)
        self.invalid = invalid or []


class FailedUrl(Struct, frozen=True, kw_only=True):
    """A URL that was not taken, and why."""

    url: str
    reason: str


class NewBatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of `POST /batches`."""

    customer: Annotated[str, Meta(min_length=1, max_length=255)]
    urls: Annotated[list[str], Meta(min_length=1)]
    reference: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    callback_url: str | UnsetType = UNSET

    def digest(self) -> str:
        """SHA-256 of the content: equal for the same request, however its JSON was written."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Batch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch as the API shows it."""

    id: str
    customer: str
    status: Status
    count: int
    created_at: str
    reference: str | UnsetType = UNSET
    finished_at: str | UnsetType = UNSET
    failed: list[FailedUrl] = []

    def shown(self, status_word: str | None = None) -> dict[str, object]:
        """The batch as the body of an answer; `status_word` replaces the status (a fault)."""
        shown = msgspec.to_builtins(self)
        shown["status"] = status_word or self.status
        return dict(shown)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an API of some level offers."""

    honours_keys: bool
    refuses_second: bool
    lists: bool


CAPABILITIES: Final[dict[Level, Capabilities]] = {
    "A": Capabilities(honours_keys=True, refuses_second=True, lists=True),
    "B": Capabilities(honours_keys=False, refuses_second=True, lists=True),
    "C": Capabilities(honours_keys=False, refuses_second=False, lists=True),
    "D": Capabilities(honours_keys=False, refuses_second=False, lists=False),
}

_decoder: Final = msgspec.json.Decoder(NewBatch)

# One expression, because a batch has up to 100,000 URLs and parsing each would take 0.3 s.
_is_url: Final = re.compile(r"https?://[^\s/?#\\\x00-\x1f]+(?:[/?#][^\s\x00-\x1f]*)?").fullmatch


def check_key(key: str | None) -> None:
    """Raises `InvalidRequestError` for an idempotency key that is too long."""
    if key is not None and len(key) > MAX_KEY_CHARS:
        raise InvalidRequestError(f"an Idempotency-Key has at most {MAX_KEY_CHARS} characters")


def parse(body: bytes) -> NewBatch:
    """The request in a body. Raises `InvalidRequestError` that names every URL that is none."""
    try:
        new = _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidRequestError(str(error)) from error
    invalid = [
        FailedUrl(url=url, reason="not an http(s) URL") for url in new.urls if not _is_url(url)
    ]
    if invalid:
        raise InvalidRequestError(f"{len(invalid)} of the URLs are invalid", invalid)
    if new.callback_url is not UNSET and not _is_url(new.callback_url):
        raise InvalidRequestError("callback_url is not an http(s) URL")
    return new
