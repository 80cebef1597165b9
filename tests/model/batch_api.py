"""The external API at the levels A to D, with a journal that nobody else writes: the judge of everything.

| level | key honoured | 409 | can be asked which calls it has |
|---|---|---|---|
| A | 24 hours | yes | yes, though it may say no at any time |
| B | no | yes | yes, at most `LAG_SECONDS` late |
| C | no | no | the same |
| D | no | no | no |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
from tests.model.clock import Clock
from tests.model.promises import broken, must

from imagelane.dispatcher.core import answers as a
from imagelane.dispatcher.core.policy import Capabilities

KEY_SECONDS: Final = 24 * 3600.0
LATE_SECONDS: Final = 30.0
"""Levels B and C: a request arrives within this time of being sent, or never."""
LATEST_SECONDS: Final = 11 * 3600.0
"""Level A: so long a request may be on its way. With the waits before, within the life of its key."""
LAG_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """The bytes of a request for a new call."""

    customer: str
    key: str
    body: bytes

    @property
    def urls(self) -> list[str]:
        return [str(url) for url in msgspec.json.decode(self.body)["urls"]]


@dataclass(slots=True)
class Batch:
    """A call in the journal."""

    id: str
    customer: str
    reference: str
    urls: tuple[str, ...]
    accepted_at: float
    visible_at: float
    status: a.CallStatus = a.CallStatus.ACTIVE
    failed: frozenset[str] = frozenset()

    def shown(self) -> a.Call:
        return a.Call(self.id, self.status, self.reference, self.failed)

    @property
    def is_active(self) -> bool:
        return self.status is a.CallStatus.ACTIVE

    @property
    def taken(self) -> Iterator[str]:
        """What the API has taken, or may still take."""
        if self.status is not a.CallStatus.FAILED:
            yield from (url for url in self.urls if url not in self.failed)


@dataclass
class BatchApi:
    """`may_send` says whether the world allows a URL in a call: it must be publicly readable."""

    level: Capabilities
    clock: Clock
    is_readable: Callable[[str], bool]
    journal: list[Batch] = field(default_factory=list)
    bad: frozenset[str] = frozenset()
    names_bad: bool = True
    blamed: set[str] = field(default_factory=set)
    """URLs of requests that were refused, of calls that failed, and of those that a person gave up."""
    _keys: dict[str, tuple[str, float, Batch]] = field(default_factory=dict)
    _bodies: dict[str, str] = field(default_factory=dict)

    def post(self, request: Request, lag_seconds: float = 0.0) -> a.StartAnswer:
        """What happens when the bytes arrive. The promises are looked after at this very moment."""
        digest = hashlib.sha256(request.body).hexdigest()
        first = self._bodies.setdefault(request.key, digest)
        must(first == digest, "a key always comes with the same body", request.key)
        if self.level == "A" and (known := self._keys.get(request.key)):
            _, since, batch = known
            if self.clock.seconds < since + KEY_SECONDS:
                return a.Accepted(a.Call(batch.id, a.CallStatus.ACTIVE, batch.reference))
        refused = self.bad & set(request.urls)
        if refused:
            self.blamed |= set(request.urls)
            return a.Refused("422: bad URLs", refused if self.names_bad else frozenset())
        active = self.active(request.customer)
        if active is not None and self.level in "AB":
            return a.Busy(active.shown())
        if active is not None:
            broken("I1: one active call per customer", f"{request.key} during {active.reference}")
        return a.Accepted(self._accept(request, digest, lag_seconds).shown())

    def active(self, customer: str) -> Batch | None:
        return next(
            (one for one in self.journal if one.customer == customer and one.is_active), None
        )

    def start_foreign(self, customer: str) -> None:
        """Somebody else uses the API for our customer, where a second call would be refused."""
        if self.level in "AB" and self.active(customer) is None:
            number = len(self.journal)
            now = self.clock.seconds
            self.journal.append(
                Batch(f"b-{number}", customer, f"theirs-{number}", (), now, visible_at=now)
            )

    def end(self, batch: Batch, status: a.CallStatus, failed: frozenset[str]) -> None:
        batch.status = status
        if status is a.CallStatus.PARTIAL:
            batch.failed = failed & frozenset(batch.urls)
            if not batch.failed:
                batch.status = a.CallStatus.COMPLETED
        self.blamed |= set(batch.urls) - set(batch.taken)

    def get(self, call_id: str) -> a.LookAnswer:
        found = next((one for one in self.journal if one.id == call_id), None)
        return a.NotFound() if found is None else a.Found(found.shown())

    def find(self, reference: str) -> a.LookAnswer:
        must(self.level != "D", "nobody asks what the API does not offer")
        now = self.clock.seconds
        for one in self.journal:
            if one.reference == reference and one.visible_at <= now:
                return a.Found(one.shown())
        return a.NotFound()

    def _accept(self, request: Request, digest: str, lag_seconds: float) -> Batch:
        taken = {url for batch in self.journal for url in batch.taken}
        for url in request.urls:
            must(url not in taken, "I3: no image is in two calls", url)
            must(self.is_readable(url), "I5: an image is sent when it can be read", url)
        now = self.clock.seconds
        batch = Batch(
            id=f"b-{len(self.journal)}",
            customer=request.customer,
            reference=request.key,
            urls=tuple(request.urls),
            accepted_at=now,
            visible_at=now + lag_seconds,
        )
        self.journal.append(batch)
        self._keys[request.key] = digest, now, batch
        return batch
