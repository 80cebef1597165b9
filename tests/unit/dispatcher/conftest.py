"""A customer, a job, its plan and its lanes, as the dispatcher's tests speak of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from msgspec.structs import replace
from pyroaring import BitMap

from imagelane.contracts.commands import ReleaseLane
from imagelane.contracts.events import BatchRequested, CallCompleted, ImagesSettled, LaneRecorded
from imagelane.contracts.image_sets import pack, pack_some, unpack
from imagelane.contracts.parts import CallPlan, ReadyImages, SettledImages
from imagelane.core.destinations import Destination
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.lane import State
from imagelane.dispatcher.core.overdue import Patience
from imagelane.dispatcher.core.plan import Terms, freeze, still_open
from imagelane.dispatcher.core.policy import Capabilities, Moment, Policy
from imagelane.dispatcher.core.polling import Bounds

ACME: Final = "acme"
JOB: Final = "a" * 32
OTHER_JOB: Final = "b" * 32
NOW: Final = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER: Final = NOW + timedelta(seconds=30)
TERMS: Final = Terms(
    "imagelane",
    {"default": Destination("default", "", "https://images.example/r")},
    "https://gateway.example/v1/callbacks/batch",
)

PATIENCE: Final = Patience(factor=5.0, floor_seconds=120.0)


def policy(capabilities: Capabilities = "A", *, item_attempts: int = 1) -> Policy:
    return Policy(
        capabilities=capabilities,
        poll=Bounds(0.2, 5.0),
        retry=Bounds(0.5, 30.0),
        retry_after_max_seconds=600.0,
        drain_seconds=40.0,
        hold_seconds=60.0,
        item_attempts=item_attempts,
        doubt_seconds=300.0,
        consistent_reads=3,
        patience=PATIENCE,
        retention=timedelta(days=10),
        max_jobs=1_000,
    )


def moment(capabilities: Capabilities = "A") -> Moment:
    return Moment(LATER, 1.0, policy(capabilities))


def ready(images: Iterable[int], job: str = JOB, *, destination: str = "default") -> ReadyImages:
    return ReadyImages(job_id=job, recipe="default", destination=destination, images=pack(images))


def requested(seq: int, *jobs: ReadyImages) -> BatchRequested:
    return BatchRequested(customer_id=ACME, seq=seq, jobs=list(jobs), occurred_at=NOW)


def settled(
    failed: Iterable[int] = (), cancelled: Iterable[int] = (), job: str = JOB
) -> ImagesSettled:
    sets = SettledImages(
        job_id=job, failed=pack_some(BitMap(failed)), cancelled=pack_some(BitMap(cancelled))
    )
    return ImagesSettled(customer_id=ACME, jobs=[sets], occurred_at=NOW)


def planned(images: Iterable[int] = range(10), seq: int = 1, *, customer: str = ACME) -> CallPlan:
    request = replace(requested(seq, ready(images)), customer_id=customer)
    return freeze(request, still_open(request, lambda _job: BitMap()), TERMS, NOW)


def release(
    decision: Literal["retry", "treat_as_done", "treat_as_failed"], seq: int = 1
) -> ReleaseLane:
    return ReleaseLane(
        customer_id=ACME,
        seq=seq,
        decision=decision,
        decided_by="kim",
        occurred_at=NOW,
        note="looked it up",
    )


def completed(seq: int = 1) -> CallCompleted:
    return CallCompleted(
        customer_id=ACME,
        seq=seq,
        last_seq=seq,
        status="completed",
        images=10,
        jobs=[],
        occurred_at=NOW,
    )


def lane(
    state: State, *, ambiguous: bool = False, call: bool = False, customer: str = ACME
) -> LaneRecorded:
    """A lane that came to this state on its shortest way; a held one is held while submitting."""
    idle = lanes.unheard_of(customer, NOW)
    if state == "idle":
        return idle
    one = lanes.plan(idle, planned(customer=customer), NOW)
    if state == "planned":
        return one
    one = lanes.attempt(one, NOW, in_doubt=ambiguous)
    if state == "active" or call:
        one = lanes.accept(one, "b-1", NOW)
    return lanes.hold(one, "for a test", NOW) if state == "held" else one


def draft(book: Book | None = None, of: Policy | None = None) -> Draft:
    return Draft(book or Book(), TERMS, of or policy(), NOW, lambda: 0.5)


def url(index: int, job: str = JOB) -> str:
    return f"https://images.example/r/{job}/{index}/image.jpg"


def members(images: object) -> list[int]:
    """The indexes in an event's set."""
    return list(unpack(images))  # type: ignore[arg-type] # an ImageSet or UNSET
