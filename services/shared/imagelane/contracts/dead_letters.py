"""Dead letters: the headers that tell where a record stood and why it was put aside, and what became of it.

The header names are those of KIP-1191 (`__dlq.errors.…`), which native viewers already read; the
time stamp and `__dlq.replay_of` are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from imagelane.contracts.events import Event
from imagelane.contracts.fields import OccurredAt, Reason, Text255

ERRORS: Final = "__dlq.errors."
REPLAY_OF: Final = "__dlq.replay_of"
"""On a record that was replayed: the `Origin` of the record that it once was."""
MAX_OFFSET: Final = 2**63 - 1
"""The largest number that Kafka has, and a database a column for."""
MAX_PARTITION: Final = 2**31 - 1

_ORIGIN: Final = re.compile(
    r"(?P<topic>[A-Za-z0-9._-]{1,249})/(?P<partition>\d{1,9})/(?P<offset>\d{1,19})@(?P<at>\d{1,15})\Z"
)

Headers = Iterable[tuple[str, bytes | None]]


class Origin(Struct, frozen=True):
    """Where a record stood when it was first written. No two records have the same one.

    Offsets begin anew in a topic that was made anew; the time stamp tells the two apart.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}@{self.timestamp_ms}"

    @classmethod
    def parse(cls, text: str) -> Origin | None:
        """The origin that `str` has written; None for any other text."""
        found = _ORIGIN.match(text)
        if found is None:
            return None
        return cls(found["topic"], int(found["partition"]), int(found["offset"]), int(found["at"]))

    @classmethod
    def replayed(cls, headers: Headers) -> Origin | None:
        """What the record once was, if it was put aside and came again."""
        for name, value in headers:
            if name == REPLAY_OF:
                return cls.parse((value or b"").decode("ascii", "replace"))
        return None


def told_in(headers: Headers) -> dict[str, str]:
    """What `__dlq.errors.…` headers say, by the rest of their names, whoever has written them."""
    return {
        name.removeprefix(ERRORS): (value or b"").decode("utf-8", "replace")
        for name, value in headers
        if name.startswith(ERRORS)
    }


def service_in(told: Mapping[str, str]) -> str:
    """The service that could not read the record, by its consumer group."""
    return told.get("group", "").rpartition("imagelane-")[2] or "unknown"


def number_in(text: str | None, otherwise: int, *, most: int = MAX_OFFSET) -> int:
    """A partition, an offset or a time as headers tell it; `otherwise` where there is none up to `most`."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > len(str(most)):
        return otherwise
    number = int(text)
    return number if number <= most else otherwise


class DeadLetterDecided(Event, frozen=True, kw_only=True, tag="dead.letter.decided.v1"):
    """What a person has decided about a dead letter; the record's key is the letter's place."""

    topic: Annotated[Text255, Meta(description="Where the record stood, without prefix.")]
    partition: Annotated[int, Meta(ge=0, description="Of that topic.")]
    offset: Annotated[int, Meta(ge=0, description="On that partition.")]
    decision: Annotated[
        Literal["replayed", "dropped"],
        Meta(description="Put on its topic again, or left to the dead letters' retention."),
    ]
    decided_by: Annotated[Text255, Meta(description="Who.")]
    occurred_at: OccurredAt
    note: Annotated[Reason, Meta(description="Why, in the person's words.")] | UnsetType = UNSET
