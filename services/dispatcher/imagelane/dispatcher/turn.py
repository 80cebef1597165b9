"""What one turn of the Kafka thread decides, over all partitions, for one transaction."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

from imagelane.contracts.codec import UnreadableRecordError, decode
from imagelane.contracts.commands import (
    CancelCustomer,
    CancelJob,
    DeleteCustomer,
    DeleteJob,
    ReleaseLane,
)
from imagelane.contracts.events import BatchRequested, CallHinted, ImagesSettled
from imagelane.core.partitioning import partition_of
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.plan import Terms
from imagelane.dispatcher.core.policy import Policy
from imagelane.dispatcher.errands import Happening, Restored, StepDone
from imagelane.dispatcher.log import Write
from imagelane.platform.records import Record

OthersBusiness = CancelJob | DeleteJob | CancelCustomer | DeleteCustomer
Input = BatchRequested | ImagesSettled | CallHinted | ReleaseLane | OthersBusiness


@dataclass(frozen=True, slots=True)
class Rules:
    """What decisions depend on besides the books."""

    terms: Terms
    policy: Policy


@dataclass(slots=True)
class Holding:
    """A partition that is ours: its book, once it was restored."""

    term: int
    book: Book = field(default_factory=Book)
    restored: bool = False


def read(record: Record, partitions: int) -> Input:
    """The event in a record of an input. Raises `UnreadableRecordError` if it is none, or not there rightly."""
    if record.key is None:
        raise UnreadableRecordError("the record has no key")
    expected = partition_of(record.key, partitions)
    if expected != record.partition:
        raise UnreadableRecordError(
            f"misplaced: by murmur2 the key belongs to partition {expected} of {partitions}"
        )
    event: Input = decode(record.topic, record.value)
    if event.customer_id.encode() != record.key:
        raise UnreadableRecordError("the key is not the customer in the event")
    return event


class Turn:
    """Decisions over the holdings, a draft for each partition that has any."""

    def __init__(self, holdings: dict[int, Holding], rules: Rules) -> None:
        self.drafts: dict[int, Draft] = {}
        self.letters: list[Write] = []
        self._holdings = holdings
        self._rules = rules
        self._now = datetime.now(UTC)

    def take(self, partition: int, event: Input) -> None:
        """Input. Raises `UnreadableImageSetError`, `UnplannableError`; the turn is then unchanged."""
        match event:
            case BatchRequested():
                self._draft(partition).request(event)
            case ImagesSettled():
                self._draft(partition).settle(event)
            case CallHinted():
                self._draft(partition).hint(event)
            case ReleaseLane():
                self._draft(partition).release(event)

    def hear(self, happening: Happening) -> None:
        """What the event loop has done. Nothing of a partition that has left counts."""
        match happening:
            case StepDone(errand, answer):
                holding = self._holdings.get(errand.partition)
                if holding is not None and holding.term == errand.term:
                    draft = self._draft(errand.partition)
                    draft.step_done(errand.lane.customer_id, errand.pursuit, answer)
            case Restored(terms, books):
                for partition, book in books.items():
                    holding = self._holdings.get(partition)
                    if holding is not None and holding.term == terms[partition]:
                        self._begin(partition, holding, book)

    def expire(self) -> None:
        """What is too old, or too much, leaves. To be called last, when all else is decided."""
        for partition, holding in self._holdings.items():
            if holding.restored and holding.book.changed_at:
                oldest = next(iter(holding.book.changed_at.values()))
                if self._rules.policy.forgets(self._now - oldest, len(holding.book.jobs)):
                    self._draft(partition).expire()

    def writes(self) -> list[Write]:
        """The records of the transaction."""
        events = [
            Write.of_event(event, partition)
            for partition, draft in self.drafts.items()
            for event in draft.records()
        ]
        ends = [
            Write.of_end(job, partition)
            for partition, draft in self.drafts.items()
            for job in draft.expired
        ]
        return self.letters + events + ends

    @property
    def written(self) -> set[int]:
        """The partitions of whose log something is to be written."""
        return {
            at for at, draft in self.drafts.items() if draft.lanes or draft.jobs or draft.expired
        }

    def _begin(self, partition: int, holding: Holding, book: Book) -> None:
        holding.book, holding.restored = book, True
        draft = self._draft(partition)
        for customer_id in book.lanes:
            draft.begin(customer_id)

    def _draft(self, partition: int) -> Draft:
        draft = self.drafts.get(partition)
        if draft is None:
            holding = self._holdings[partition]
            if not holding.restored:
                raise RuntimeError(f"input of partition {partition} came before its log was read")
            draft = self.drafts[partition] = Draft(
                holding.book, self._rules.terms, self._rules.policy, self._now, random.random
            )
        return draft
