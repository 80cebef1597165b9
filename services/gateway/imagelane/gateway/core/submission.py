"""From what a request says to the event that goes to `urls`. Pure: the body's bytes were read before."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from imagelane.contracts.codec import Headers, Trace, encode
from imagelane.contracts.events import MAX_INLINE_BYTES, MAX_INLINE_URLS, ListSubmitted
from imagelane.contracts.fields import (
    CustomerId,
    Deadline,
    DestinationName,
    HttpUrl,
    Instant,
    NotifyUrl,
    RecipeName,
    Sha256,
    Text255,
)
from imagelane.contracts.parts import ListedImage
from imagelane.core.admission import AdmissionPolicy, UrlRefusedError, admit
from imagelane.core.failures import REASONS, Code
from imagelane.core.notifying import admit_notify_url
from imagelane.core.recipes import RECIPES

GZIP_MAGIC: Final = b"\x1f\x8b"
BLANKS_AND_MARK: Final = b" \t\r\n\xef\xbb\xbf"
ListFormat = Literal["text", "json", "csv"]
ListedUrls = Annotated[list[str | ListedImage], Meta(min_length=1)]


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said about a list beside the list itself, wherever it is."""

    customer_id: CustomerId | UnsetType = UNSET
    list_format: ListFormat | UnsetType = UNSET
    list_column: Text255 | UnsetType = UNSET
    recipe: RecipeName = "default"
    destination: DestinationName = "default"
    deadline: Deadline | UnsetType = UNSET
    notify_url: NotifyUrl | UnsetType = UNSET


class JsonWish(Wish, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole submission as JSON: `urls` or `list_url`, one of the two."""

    urls: msgspec.Raw | UnsetType = UNSET
    list_url: HttpUrl | UnsetType = UNSET


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A list as the gateway hands it on."""

    job_id: str
    idempotency_key: str
    event: ListSubmitted
    submitted_at: Instant

    @property
    def fingerprint(self) -> str:
        """The same for the same content, whatever it is told to notify: as intake sees it."""
        deadline = self.event.deadline
        if deadline is not UNSET:
            deadline = deadline.astimezone(UTC)
        event = msgspec.structs.replace(self.event, deadline=deadline, notify_url=UNSET)
        return hashlib.sha256(encode(event)).hexdigest()

    def without_list(self) -> Submission:
        """The same, for the memory of it."""
        return msgspec.structs.replace(self, event=msgspec.structs.replace(self.event, urls=UNSET))

    @property
    def trace(self) -> Trace:
        """The job's."""
        return Trace.of_job(self.event.customer_id, self.job_id)

    def headers(self, *, source: str, traceparent: bytes | None = None) -> Headers:
        """CloudEvents in binary mode: the same submission, handed in twice, is the same event."""
        identity = f"{self.job_id}/{self.fingerprint}"
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", hashlib.blake2b(identity.encode(), digest_size=16).hexdigest().encode()),
            ("ce_type", b"list.submitted.v1"),
            ("ce_source", source.encode()),
            ("ce_time", self.submitted_at.isoformat().encode()),
            ("content-type", b"application/json"),
            ("imagelane-job-id", self.job_id.encode()),
            ("traceparent", traceparent or self.trace.parent()),
        ]


class RefusedWishError(ValueError):
    """A parameter cannot be met; `field` names it, `code` is what the job would have ended with."""

    def __init__(self, field: str, detail: str, code: Code | None = None) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail
        self.code = code


class Rules(msgspec.Struct, frozen=True):
    """What a submission may name: these destinations, and URLs that the policy admits."""

    destinations: Container[str]
    policy: AdmissionPolicy
    allow_http_notices: bool = False


def check_wish(wish: Wish, rules: Rules, *, now: datetime) -> None:
    """Raises `RefusedWishError` for what can be known to be refused before the list is looked at."""
    if wish.recipe not in RECIPES:
        raise RefusedWishError("recipe", _reason(Code.UNKNOWN_RECIPE), Code.UNKNOWN_RECIPE)
    if wish.destination not in rules.destinations:
        code = Code.UNKNOWN_DESTINATION
        raise RefusedWishError("destination", _reason(code), code)
    if wish.deadline is not UNSET and wish.deadline <= now:
        raise RefusedWishError("deadline", _reason(Code.DEADLINE_PASSED), Code.DEADLINE_PASSED)
    if wish.notify_url is not UNSET:
        _check_notify_url(wish.notify_url, rules)
    if isinstance(wish, JsonWish) and wish.list_url is not UNSET:
        _check_list_url(wish.list_url, rules)


def check_count(field: str, count: int, max_lines: int) -> None:
    """Raises `RefusedWishError` for a list that intake would refuse by its length."""
    if count == 0:
        raise RefusedWishError(field, _reason(Code.LIST_EMPTY), Code.LIST_EMPTY)
    if count > max_lines:
        detail = f"{_reason(Code.LIST_TOO_LONG)}: at most {max_lines:,}"
        raise RefusedWishError(field, detail, Code.LIST_TOO_LONG)


def fits_inline(event: ListSubmitted) -> bool:
    """Whether the event may carry its list itself."""
    count = 0 if event.urls is UNSET else len(event.urls)
    return count <= MAX_INLINE_URLS and len(encode(event)) <= MAX_INLINE_BYTES


def event_of(
    wish: Wish,
    *,
    customer_id: str,
    key: str,
    urls: list[str | ListedImage] | UnsetType = UNSET,
    upload_sha256: Sha256 | UnsetType = UNSET,
) -> ListSubmitted:
    """The event for `urls`, with the list in the place that is given."""
    return ListSubmitted(
        customer_id=customer_id,
        urls=urls,
        list_url=wish.list_url if isinstance(wish, JsonWish) else UNSET,
        upload_sha256=upload_sha256,
        list_format=wish.list_format,
        list_column=wish.list_column,
        idempotency_key=key,
        recipe=wish.recipe,
        destination=wish.destination,
        deadline=wish.deadline,
        notify_url=wish.notify_url,
    )


def _check_list_url(url: str, rules: Rules) -> None:
    try:
        admit(url, rules.policy)
    except UrlRefusedError as error:
        raise RefusedWishError("list_url", error.detail or "it may not be fetched") from error


def _check_notify_url(url: str, rules: Rules) -> None:
    try:
        admit_notify_url(url, rules.policy, allow_http=rules.allow_http_notices)
    except UrlRefusedError as error:
        detail = error.detail or "nothing may be posted there"
        raise RefusedWishError("notify_url", detail, Code.NOTIFY_URL_REFUSED) from error


def _reason(code: Code) -> str:
    return REASONS[code]


class LineCount:
    """Counts the lines of a text list as it passes, as intake will: blank ones are none.

    Of JSON, CSV and gzip only reading the list tells, so `lines` is None: intake does that.
    """

    def __init__(self, list_format: ListFormat | UnsetType) -> None:
        self._counts = list_format in (UNSET, "text")
        self._other = (GZIP_MAGIC,) if list_format == "text" else (GZIP_MAGIC, b"[", b"{")
        self._begun = False
        self._in_line = False
        self._lines = 0

    @property
    def lines(self) -> int | None:
        """How many so far, the last one included though it may go on."""
        return self._lines if self._counts else None

    def feed(self, chunk: bytes) -> None:
        """Takes in a piece of the list."""
        if not self._begun and (text := chunk.lstrip(BLANKS_AND_MARK)):
            self._begun = True
            self._counts = self._counts and not text.startswith(self._other)
        if not (self._begun and self._counts):
            return
        first, *others = chunk.split(b"\n")
        self._count(first)
        for line in others:
            self._in_line = False
            self._count(line)

    def _count(self, part: bytes) -> None:
        if not self._in_line and part.strip():
            self._in_line = True
            self._lines += 1
