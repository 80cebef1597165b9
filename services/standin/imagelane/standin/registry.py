"""Which batches there are, and what a request for a new one is answered: state without any I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import UNSET, Struct
from msgspec.structs import replace

from imagelane.standin.contract import Batch, Capabilities, FailedUrl, NewBatch, Status

MAX_LISTED = 100


@dataclass(frozen=True, slots=True)
class Accepted:
    """A new batch was started."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Repeated:
    """The key was seen with this body before: the first answer again."""

    first_answer: Batch


@dataclass(frozen=True, slots=True)
class Conflict:
    """The customer has an active batch."""

    active: Batch


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The key was used with another body."""


Decision = Accepted | Repeated | Conflict | KeyReused


class _FirstAnswer(Struct, frozen=True):
    digest: str
    batch: Batch


@dataclass(slots=True)
class Registry:
    """All batches since the journal began. URLs are not kept: a batch's task has them while it runs."""

    capabilities: Capabilities
    _batches: dict[str, Batch] = field(default_factory=dict)
    _of_customer: dict[str, list[str]] = field(default_factory=dict)
    _by_key: dict[str, _FirstAnswer] = field(default_factory=dict)

    def request(
        self, new: NewBatch, *, key: str | None, digest: str, batch_id: str, now: str
    ) -> Decision:
        """Decides on a request at `now` (RFC 3339), and starts the batch if it is accepted."""
        if self.capabilities.honours_keys and key is not None and key in self._by_key:
            first = self._by_key[key]
            return Repeated(first.batch) if first.digest == digest else KeyReused()
        active = self.active_of(new.customer)
        if self.capabilities.refuses_second and active is not None:
            return Conflict(active)
        batch = Batch(
            id=batch_id,
            customer=new.customer,
            status="active",
            count=len(new.urls),
            created_at=now,
            reference=new.reference,
        )
        self.add(batch, key=key, digest=digest)
        return Accepted(batch)

    def add(self, batch: Batch, *, key: str | None, digest: str) -> None:
        """Takes a batch in, when it starts or when a journal is read again."""
        self._batches[batch.id] = batch
        self._of_customer.setdefault(batch.customer, []).append(batch.id)
        if key is not None:
            self._by_key.setdefault(key, _FirstAnswer(digest, batch))

    def finish(self, batch_id: str, *, status: Status, failed: list[FailedUrl], now: str) -> Batch:
        """Ends a batch."""
        batch = replace(self._batches[batch_id], status=status, failed=failed, finished_at=now)
        self._batches[batch_id] = batch
        return batch

    def get(self, batch_id: str) -> Batch | None:
        """The batch as it stands."""
        return self._batches.get(batch_id)

    def active_of(self, customer: str) -> Batch | None:
        """The customer's newest active batch."""
        return next((batch for batch in self._newest(customer) if batch.status == "active"), None)

    def find(self, customer: str, *, reference: str | None, status: str | None) -> list[Batch]:
        """The customer's batches that fit, newest first, at most 100."""
        found = [
            batch
            for batch in self._newest(customer)
            if (
                reference is None or (batch.reference is not UNSET and batch.reference == reference)
            )
            and (status is None or batch.status == status)
        ]
        return found[:MAX_LISTED]

    def _newest(self, customer: str) -> Iterator[Batch]:
        return (self._batches[one] for one in reversed(self._of_customer.get(customer, [])))
