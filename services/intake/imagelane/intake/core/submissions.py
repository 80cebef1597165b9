"""What a record of `urls` asks for, and which job it is. Plain JSON and both modes of CloudEvents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.dead_letters import Origin
from imagelane.contracts.events import MAX_INLINE_BYTES, MAX_INLINE_URLS, ListSubmitted
from imagelane.core.identity import secret_id
from imagelane.platform.records import Record

ENTRANCES: Final = ("urls", "list_url", "upload_sha256")
STRUCTURED_MODE: Final = "application/cloudevents"


class _Envelope(Struct, frozen=True):
    """A CloudEvent in structured mode, as far as intake looks at it."""

    specversion: str
    id: str
    source: str
    data: msgspec.Raw


_decoder: Final = msgspec.json.Decoder(ListSubmitted)
_envelope_decoder: Final = msgspec.json.Decoder(_Envelope)


@dataclass(frozen=True, slots=True)
class Submission:
    """A readable record of `urls`. `origin` tells this event from all others of the customer."""

    submitted: ListSubmitted
    origin: tuple[str, ...]
    handed_in_at: datetime
    """When the broker took the record."""

    def job_id(self, secret: bytes) -> str:
        """The job that this submission is, in 32 characters `a-z2-7`; nobody can guess it.

        The `secret_id` of:

        * `key`, customer, idempotency key, where there is a key; else
        * `event`, customer, CloudEvents source, CloudEvents id, for a CloudEvent; else
        * `record`, customer, `urls`, partition, offset, timestamp (which the broker keeps with the
          record: in a topic that was made anew, offsets begin anew, and old jobs must not). A record
          that was put aside and replayed is the one that it was: replayed twice, it is one job.
        """
        key = self.submitted.idempotency_key
        how = ("key", self.submitted.customer_id, key) if key is not UNSET else self._by_origin()
        return secret_id(secret, *how)

    def conflict_id(self, secret: bytes, fingerprint: str) -> str:
        """The id under which this submission is refused when its key belongs to other content.

        As `job_id`, of `conflict`, the job's id and the fingerprint. It is not the id of the job
        that holds the key, so nothing said about the refusal can touch that job.
        """
        return secret_id(secret, "conflict", self.job_id(secret), fingerprint)

    @property
    def name(self) -> str:
        """What its sender knows it by: the idempotency key, or else the event."""
        key = self.submitted.idempotency_key
        return " ".join(self.origin) if key is UNSET else f"`{key}`"

    def _by_origin(self) -> tuple[str, ...]:
        kind, *rest = self.origin
        return (kind, self.submitted.customer_id, *rest)


def read_submission(record: Record) -> Submission:
    """The submission in a record. Key and partition do not matter; the event names the customer.

    Structured mode is known by its content type (`application/cloudevents+json`), binary mode by a
    `ce_specversion` header; everything else is read as plain JSON, whatever the headers say.
    Raises `UnreadableRecordError`, naming the field, for everything that is not a submission.
    """
    if record.value is None:
        raise UnreadableRecordError("the record has no value")
    if len(record.value) > MAX_INLINE_BYTES:
        raise UnreadableRecordError(
            f"urls: the record has {len(record.value):,} bytes, at most {MAX_INLINE_BYTES:,} are"
            " taken inline; store the list somewhere and name it as `list_url`"
        )
    headers = {name.lower(): value for name, value in record.headers}
    handed_in_at = datetime.fromtimestamp(record.timestamp_ms / 1_000, UTC)
    if headers.get("content-type", b"").lower().startswith(STRUCTURED_MODE.encode()):
        return _structured(record.value, _text(headers, "content-type"), handed_in_at)
    was = Origin.replayed(record.headers)
    place = was or Origin(record.topic, record.partition, record.offset, record.timestamp_ms)
    origin: tuple[str, ...] = ("record", *map(str, msgspec.structs.astuple(place)))
    if "ce_specversion" in headers:
        origin = _binary(headers)
    return Submission(_checked(_decode(record.value)), origin, handed_in_at)


def _structured(value: bytes, content_type: str, handed_in_at: datetime) -> Submission:
    if content_type.partition(";")[0].strip().lower() != f"{STRUCTURED_MODE}+json":
        raise UnreadableRecordError(
            f"content-type: {content_type!r} is not read, only {STRUCTURED_MODE}+json"
        )
    try:
        envelope = _envelope_decoder.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableRecordError(f"CloudEvent: {error}") from error
    origin = _event_origin(envelope.specversion, envelope.source, envelope.id)
    try:
        return Submission(_checked(_decode(bytes(envelope.data))), origin, handed_in_at)
    except UnreadableRecordError as error:
        raise UnreadableRecordError(f"data: {error}") from error


def _binary(headers: dict[str, bytes]) -> tuple[str, ...]:
    return _event_origin(
        _text(headers, "ce_specversion"), _text(headers, "ce_source"), _text(headers, "ce_id")
    )


def _event_origin(specversion: str, source: str, event_id: str) -> tuple[str, ...]:
    if specversion != "1.0":
        raise UnreadableRecordError(f"specversion: {specversion!r} is not known, only '1.0'")
    for name, value in (("source", source), ("id", event_id)):
        if not value:
            raise UnreadableRecordError(f"{name}: is empty or missing")
    return ("event", source, event_id)


def _text(headers: dict[str, bytes], name: str) -> str:
    try:
        return headers.get(name, b"").decode()
    except UnicodeDecodeError as error:
        raise UnreadableRecordError(f"{name}: the header is not UTF-8") from error


def _decode(value: bytes) -> ListSubmitted:
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableRecordError(str(error)) from error


def _checked(submitted: ListSubmitted) -> ListSubmitted:
    given = [name for name in ENTRANCES if getattr(submitted, name) is not UNSET]
    if len(given) != 1:
        told = " and ".join(given) or "none"
        raise UnreadableRecordError(f"urls, list_url: exactly one of them is needed, {told} given")
    if submitted.upload_sha256 is not UNSET and submitted.idempotency_key is UNSET:
        raise UnreadableRecordError(
            "upload_sha256: it comes with an idempotency_key, or not at all"
        )
    if submitted.urls is not UNSET and len(submitted.urls) > MAX_INLINE_URLS:
        raise UnreadableRecordError(
            f"urls: {len(submitted.urls):,} URLs, at most {MAX_INLINE_URLS:,} are taken inline;"
            " store the list somewhere and name it as `list_url`"
        )
    return submitted
