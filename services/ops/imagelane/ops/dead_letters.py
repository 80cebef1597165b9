"""Dead letters as they lie on the `dlq.` topics: found, looked at, replayed and dropped.

A letter is named by the place where its record stood: `urls/3/17`. What people decide about letters
stands on `dlq-decisions`; the letters themselves stay where they are until retention takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, cast

from confluent_kafka import Message

from imagelane.contracts.codec import (
    Headers,
    UnreadableRecordError,
    decode,
    encode,
    headers_of,
    key_of,
)
from imagelane.contracts.dead_letters import (
    ERRORS,
    MAX_PARTITION,
    REPLAY_OF,
    DeadLetterDecided,
    Origin,
    number_in,
    service_in,
    told_in,
)
from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.contracts.topics import DLQ_DECISIONS, EVENTS_OF, dead_letter_topic
from imagelane.ops.commanding import SOURCE
from imagelane.ops.delivery import Letter, deliver
from imagelane.platform.latest_records import latest_records, read_records
from imagelane.platform.settings import KafkaSettings

TOPICS: Final = tuple(
    name.removeprefix(dead_letter_topic(""))
    for name in read_topic_files(schemas_folder())
    if name.startswith(dead_letter_topic(""))
)
"""The topics that have dead letters."""
DECISIONS_PARTITION: Final = 0


class Place(NamedTuple):
    """Where a record stood before it was put aside."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return "/".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Place:
        """Of `urls/3/17`. Raises `ValueError`."""
        topic, *numbers = text.split("/")
        if topic not in TOPICS or len(numbers) != 2 or not all(map(str.isdigit, numbers)):  # noqa: PLR2004 - partition and offset
            raise ValueError(
                f"{text!r} is no place of a dead letter, such as urls/3/17; topics are"
                f" {', '.join(TOPICS)}"
            )
        return cls(topic, int(numbers[0]), int(numbers[1]))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was put aside, as it came, and why."""

    place: Place
    origin: Origin
    put_aside_at: datetime
    service: str
    reason: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    """The record's own."""

    def trouble(self) -> str:
        """Why the record could not be read today either; empty if it could, as far as is known here.

        `urls` is read by intake in three shapes, and only intake knows them.
        """
        if self.place.topic not in EVENTS_OF:
            return ""
        try:
            event = decode(self.place.topic, self.value)
        except UnreadableRecordError as error:
            return str(error)
        return "" if self.key == key_of(event) else "the key is not the customer ID"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant. Everything that is given has to fit."""

    topics: Sequence[str] = TOPICS
    places: frozenset[Place] = frozenset()
    key: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, letter: DeadLetter) -> bool:
        """Whether the letter is one of them."""
        return (
            (not self.places or letter.place in self.places)
            and (self.key is None or letter.key == self.key.encode())
            and (self.reason is None or self.reason.lower() in letter.reason.lower())
            and (self.since is None or letter.put_aside_at >= self.since)
            and (self.until is None or letter.put_aside_at < self.until)
        )


def dead_letters(settings: KafkaSettings, wanted: Wanted) -> Iterator[DeadLetter]:
    """The letters that fit, by topic, the oldest first; a record that was put aside twice comes once.

    Raises as `read_records` does.
    """
    for topic in wanted.topics:
        seen: set[Place] = set()
        for message in read_records(settings, dead_letter_topic(topic)):
            letter = letter_of(topic, message)
            if wanted.fits(letter) and letter.place not in seen:
                seen.add(letter.place)
                yield letter


def letter_of(topic: str, message: Message) -> DeadLetter:
    """The letter in a record of `dlq.<topic>`, whoever has written it."""
    headers = cast(Headers, message.headers() or [])
    told = told_in(headers)
    at_ms = message.timestamp()[1]
    place = Place(
        topic,
        number_in(told.get("partition"), message.partition() or 0, most=MAX_PARTITION),
        number_in(told.get("offset"), message.offset() or 0),
    )
    own = [(name, value) for name, value in headers if not name.startswith(ERRORS)]
    first = Origin(*place, number_in(told.get("timestamp"), at_ms))
    return DeadLetter(
        place=place,
        origin=Origin.replayed(own) or first,
        put_aside_at=datetime.fromtimestamp(at_ms / 1_000, UTC),
        service=service_in(told),
        reason=told.get("message", ""),
        key=message.key(),
        value=message.value(),
        headers=[one for one in own if one[0] != REPLAY_OF],
    )


def decisions(settings: KafkaSettings) -> dict[Place, DeadLetterDecided]:
    """What was decided so far. Raises as `read_records` does, and `UnreadableRecordError`."""
    decided: dict[Place, DeadLetterDecided] = {}
    for value in latest_records(settings, DLQ_DECISIONS).values():
        one: DeadLetterDecided = decode(DLQ_DECISIONS, value)
        decided[Place(one.topic, one.partition, one.offset)] = one
    return decided


def replay(settings: KafkaSettings, letters: Iterable[DeadLetter]) -> None:
    """Puts the records on their topics again, under their own keys. Raises `DeliveryError`.

    A record tells what it once was, so that intake takes it for the same job however often it is
    replayed; everything else on the road is the same by its content.
    """
    deliver(
        settings,
        (
            Letter(
                one.place.topic,
                one.key,
                one.value,
                [*one.headers, (REPLAY_OF, str(one.origin).encode())],
            )
            for one in letters
        ),
    )


def note(settings: KafkaSettings, decided: Iterable[DeadLetterDecided]) -> None:
    """Writes decisions down. Raises `DeliveryError`."""
    deliver(
        settings,
        (
            Letter(
                DLQ_DECISIONS,
                str(Place(one.topic, one.partition, one.offset)).encode(),
                encode(one),
                headers_of(one, source=SOURCE),
                DECISIONS_PARTITION,
            )
            for one in decided
        ),
    )


def span(text: str) -> timedelta:
    """Of `90s`, `15m`, `2h` or `7d`. Raises `ValueError`."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdigit() or len(number) > 6:  # noqa: PLR2004 - 31 years of minutes are enough
        raise ValueError(f"{text!r} is no span of time, such as 90s, 15m, 2h or 7d")
    return timedelta(**{units[unit]: int(number)})
