"""A desk at which the lanes of one partition are worked by hand: a clock, events in, events out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import UNSET
from pyroaring import BitMap

from imagelane.batcher.core.lanes import LaneEvent, Lanes
from imagelane.batcher.core.moment import Moment
from imagelane.batcher.core.policy import Rules, first_full
from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.contracts import parts as p
from imagelane.contracts.image_sets import pack_some, unpack

RULES = Rules(
    ask_at=first_full,
    first_call_images=100,
    linger_seconds=20.0,
    resend_after_seconds=60.0,
    stalled_after_seconds=60.0,
    sweep=True,
    retention=timedelta(days=14),
)
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def job_id(letter: str) -> str:
    return letter * 32


@dataclass
class Desk:
    """Every action is one event of customer `acme`, unless it says otherwise; `sent` is what came of it."""

    rules: Rules = RULES
    customer_id: str = "acme"
    seconds: float = 1_000.0
    table: dict[bytes, bytes] = field(default_factory=dict)
    openings: int = 0
    lanes: Lanes = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    @property
    def now(self) -> Moment:
        return Moment(self.seconds, START + timedelta(seconds=self.seconds - 1_000.0))

    def with_rules(self, **changes: Any) -> None:
        self.rules = replace(self.rules, **changes)
        self.open()

    def open(self) -> None:
        """A process takes the partition over and reads the table."""
        self.openings += 1
        self.lanes = Lanes(self.rules, writer=f"w{self.openings}")
        self.lanes.restore(self.table.items(), self.now)

    def restart(self) -> list[e.Event]:
        self.open()
        return self.decide()

    def decide(self) -> list[e.Event]:
        """Whatever is to be done, until there is nothing more; all of it is durable at once."""
        sent: list[e.Event] = []
        while self.lanes.has_work:
            decisions = self.lanes.decide(self.now)
            for write in decisions.writes:
                if write.value is None:
                    self.table.pop(write.key, None)
                else:
                    self.table[write.key] = write.value
            sent += decisions.events
            self.lanes.confirm(decisions)
        return sent

    def tell(self, event: LaneEvent) -> list[e.Event]:
        self.lanes.fold(event, self.now)
        return self.decide()

    def wait(self, seconds: float) -> list[e.Event]:
        """Time passes; due alarms ring, each once, and are answered."""
        end = self.seconds + seconds
        sent: list[e.Event] = []
        while self.seconds < end:
            self.seconds = min(self.seconds + 1.0, end)
            for tick in self.lanes.ticks(self.now):
                sent += self.tell(tick)
        return sent

    def at(self, seconds: float) -> datetime:
        """So many seconds after the desk's clock began."""
        return START + timedelta(seconds=seconds)

    def accepted(
        self, job: str = "a", *, handed_in: float | None = None, deadline: float | None = None
    ) -> list[e.Event]:
        return self.tell(
            e.JobAccepted(
                customer_id=self.customer_id,
                job_id=job_id(job),
                recipe="default",
                destination="default",
                occurred_at=self.now.at,
                handed_in_at=UNSET if handed_in is None else self.at(handed_in),
                deadline=UNSET if deadline is None else self.at(deadline),
            )
        )

    def image(self, index: int, job: str = "a", *, ok: bool = True) -> e.ImageProcessed:
        return e.ImageProcessed(
            customer_id=self.customer_id,
            job_id=job_id(job),
            index=index,
            url="https://images.test/a.jpg",
            recipe="default",
            destination="default",
            status="ok" if ok else "failed",
            occurred_at=self.now.at,
            seconds=0.1,
        )

    def processed(
        self, indexes: Iterable[int], job: str = "a", *, ok: bool = True
    ) -> list[e.Event]:
        for index in indexes:
            self.lanes.fold(self.image(index, job, ok=ok), self.now)
        return self.decide()

    def sealed(
        self,
        images: int,
        job: str = "a",
        *,
        handed_in: float | None = None,
        deadline: float | None = None,
    ) -> list[e.Event]:
        return self.tell(
            e.JobSealed(
                customer_id=self.customer_id,
                job_id=job_id(job),
                recipe="default",
                destination="default",
                images=images,
                occurred_at=self.now.at,
                handed_in_at=UNSET if handed_in is None else self.at(handed_in),
                deadline=UNSET if deadline is None else self.at(deadline),
            )
        )

    def cancelled(self, job: str = "a", *, delete: bool = False) -> list[e.Event]:
        kind = c.DeleteJob if delete else c.CancelJob
        return self.tell(
            kind(
                customer_id=self.customer_id,
                job_id=job_id(job),
                decided_by="somebody",
                occurred_at=self.now.at,
            )
        )

    def customer_cancelled(
        self, seconds: float | None = None, *, delete: bool = False
    ) -> list[e.Event]:
        kind = c.DeleteCustomer if delete else c.CancelCustomer
        return self.tell(
            kind(
                customer_id=self.customer_id,
                decided_by="somebody",
                occurred_at=self.now.at if seconds is None else self.at(seconds),
            )
        )

    def outcome(
        self,
        job: str = "a",
        *,
        delivered: Iterable[int] = (),
        failed: Iterable[int] = (),
        cancelled: Iterable[int] = (),
        returned: Iterable[int] = (),
    ) -> p.JobOutcome:
        return p.JobOutcome(
            job_id=job_id(job),
            delivered=pack_some(BitMap(delivered)),
            failed=pack_some(BitMap(failed)),
            cancelled=pack_some(BitMap(cancelled)),
            returned=pack_some(BitMap(returned)),
        )

    def call_completed(
        self,
        seq: int,
        *outcomes: p.JobOutcome,
        last_seq: int | None = None,
        max_images: int | None = None,
    ) -> e.CallCompleted:
        return e.CallCompleted(
            customer_id=self.customer_id,
            seq=seq,
            last_seq=seq if last_seq is None else last_seq,
            status="completed",
            images=0,
            jobs=list(outcomes),
            occurred_at=self.now.at,
            max_images=UNSET if max_images is None else max_images,
        )

    def completed(
        self,
        seq: int,
        *outcomes: p.JobOutcome,
        last_seq: int | None = None,
        max_images: int | None = None,
    ) -> list[e.Event]:
        return self.tell(
            self.call_completed(seq, *outcomes, last_seq=last_seq, max_images=max_images)
        )

    def told(
        self,
        last_seq: int,
        *,
        busy: bool = False,
        job: p.JobOutcome | None = None,
        answers: int | None = None,
    ) -> list[e.Event]:
        return self.tell(
            e.LaneTold(
                customer_id=self.customer_id,
                last_seq=last_seq,
                busy=busy,
                occurred_at=self.now.at,
                job=UNSET if job is None else job,
                answers=UNSET if answers is None else answers,
            )
        )

    def call(self, images: int, job: str = "a") -> e.BatchRequested:
        """A first call with so many images is under way."""
        (request,) = self.processed(range(images), job) or self.wait(self.rules.linger_seconds)
        assert isinstance(request, e.BatchRequested)
        return request


def asked(event: e.Event) -> tuple[int, dict[str, list[int]]]:
    """A request, as its seq and the images of each job."""
    assert isinstance(event, e.BatchRequested), event
    return event.seq, {job.job_id[0]: list(unpack(job.images)) for job in event.jobs}


def settled_by(event: e.Event) -> dict[str, tuple[list[int], list[int]]]:
    """A settle, as the failed and the cancelled images of each job."""
    assert isinstance(event, e.ImagesSettled), event
    return {
        job.job_id[0]: (list(unpack(job.failed)), list(unpack(job.cancelled))) for job in event.jobs
    }


@pytest.fixture
def desk() -> Desk:
    return Desk()
