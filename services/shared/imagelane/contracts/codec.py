"""Events to bytes and back: one line of JSON, CloudEvents attributes in headers, the customer as key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from imagelane.contracts import events as e
from imagelane.contracts.topics import COMMANDS, DLQ_DECISIONS, EVENTS_OF, HOSTS, KEYS, NOTICES

Headers = list[tuple[str, bytes]]


class UnreadableRecordError(ValueError):
    """A record's bytes do not fit the topic's contract; the message names the field."""


_encoder: Final = msgspec.json.Encoder()


def _decoder_of(topic: str) -> msgspec.json.Decoder[Any]:
    union: Any = EVENTS_OF[topic][0]
    for event in EVENTS_OF[topic][1:]:
        union = union | event
    return msgspec.json.Decoder(union)


_decoders: Final = {topic: _decoder_of(topic) for topic in EVENTS_OF}


def encode(event: e.Event | e.ListSubmitted) -> bytes:
    """The event as one line of compact JSON in UTF-8, its type first."""
    return _encoder.encode(event)


def decode(topic: str, value: bytes | None) -> Any:
    """The event in a record of `topic` (named without a deployment's prefix).

    Unknown fields are ignored, so that an older consumer reads a newer producer.
    Raises `UnreadableRecordError` for everything else that does not fit, whatever the bytes are.
    """
    if value is None:
        raise UnreadableRecordError("the record has no value")
    try:
        return _decoders[topic].decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UnreadableRecordError(str(error)) from error


def key_of(event: e.Event) -> bytes:
    """The customer ID in UTF-8: the key of every record but those of logs and `topology`."""
    return str(event.customer_id).encode()  # type: ignore[attr-defined] # all keyed events have it


@dataclass(frozen=True, slots=True)
class Trace:
    """The W3C trace that an image's or a job's events share, derived from its identity."""

    trace_id: str

    @classmethod
    def of(cls, event: e.Event) -> Trace:
        """One trace per image where the event has an index, else one per call, job or customer."""
        seq = getattr(event, "seq", 0) or getattr(event, "last_seq", 0)
        if seq:
            return cls.of_call(str(event.customer_id), seq)  # type: ignore[attr-defined] # lanes have it
        return cls._of(str(getattr(event, name, "")) for name in ("customer_id", "job_id", "index"))

    @classmethod
    def of_job(cls, customer_id: str, job_id: str) -> Trace:
        """The trace of the job's own events, for a record that is none of them yet."""
        return cls._of((customer_id, job_id, ""))

    @classmethod
    def of_image(cls, customer_id: str, job_id: str, index: int) -> Trace:
        """The trace of an image's events, for who has none of them at hand."""
        return cls._of((customer_id, job_id, str(index)))

    @classmethod
    def of_call(cls, customer_id: str, seq: int) -> Trace:
        """The trace of a customer's call, from its request to its answer."""
        return cls._of((customer_id, "", "", str(seq)))

    @classmethod
    def _of(cls, parts: Iterable[str]) -> Trace:
        return cls(hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest())

    @property
    def anchor(self) -> str:
        """The id of the one span that all others of the trace hang on: known to whoever knows the identity."""
        return self.trace_id[:16]

    def parent(self) -> bytes:
        """A `traceparent` with a fresh span id, for events of which no span is recorded."""
        return f"00-{self.trace_id}-{os.urandom(8).hex()}-00".encode()


_KNOWN_BY_CONTENT: Final[tuple[type[e.Event], ...]] = (
    e.ImagesSettled,
    e.LaneTold,
    e.LaneTicked,
    e.LaneRecorded,
    e.JobRecorded,
    e.TopologyRecorded,
    *EVENTS_OF[COMMANDS],
    *EVENTS_OF[KEYS],
    *EVENTS_OF[NOTICES],
    *EVENTS_OF[HOSTS],
    *EVENTS_OF[DLQ_DECISIONS],
)


def event_id(event: e.Event) -> str:
    """The CloudEvents id: the same event, produced twice, has the same id."""
    if isinstance(event, _KNOWN_BY_CONTENT):
        return hashlib.blake2b(encode(event), digest_size=16).hexdigest()
    parts = [event.__struct_config__.tag]
    for name in ("customer_id", "job_id", "index", "seq", "round", "call_id"):
        part = getattr(event, name, msgspec.UNSET)
        if part is not msgspec.UNSET:
            parts.append(part)
    identity = "\0".join(map(str, parts))
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()


def headers_of(event: e.Event, *, source: str, traceparent: bytes | None = None) -> Headers:
    """CloudEvents binary mode plus `traceparent`: of the span behind the event, where one is recorded.

    `source` is a path such as `/services/intake`.
    """
    occurred_at: datetime = event.occurred_at  # type: ignore[attr-defined] # all events have it
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id(event).encode()),
        ("ce_type", str(event.__struct_config__.tag).encode()),
        ("ce_source", source.encode()),
        ("ce_time", occurred_at.isoformat().encode()),
        ("content-type", b"application/json"),
        ("traceparent", traceparent or Trace.of(event).parent()),
    ]
