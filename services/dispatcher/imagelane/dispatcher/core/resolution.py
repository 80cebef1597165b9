"""How a plan ends: what an ended call, or a refused plan, makes of each of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from msgspec import UNSET
from msgspec.structs import replace
from pyroaring import BitMap

from imagelane.contracts.events import CallCompleted, LaneRecorded
from imagelane.contracts.image_sets import pack_some
from imagelane.contracts.parts import CallPlan, JobOutcome, LaneDecision, PlannedImages
from imagelane.dispatcher.core import outcomes as o
from imagelane.dispatcher.core.answers import Call, CallStatus, Refused
from imagelane.dispatcher.core.lane import plan_of
from imagelane.dispatcher.core.plan import Terms, UnplannableError, images_named, images_of

OutcomesOf = Callable[[str], o.JobOutcomes]
EndStatus = Literal["completed", "partial", "failed"]


class UnresolvableError(Exception):
    """The API's answer does not say what became of our images; the message says why not."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer to the batcher, and the outcomes of the jobs that it changes."""

    answer: CallCompleted
    jobs: Mapping[str, o.JobOutcomes]


def of_call(
    lane: LaneRecorded,
    call: Call,
    *,
    terms: Terms,
    outcomes_of: OutcomesOf,
    item_attempts: int,
    now: datetime,
) -> Resolution:
    """The lane's call has ended. Raises `UnresolvableError`."""
    plan = plan_of(lane)
    images = images_of(plan.jobs)
    failed = _failed(plan, call, images, terms)
    answered = _answered(lane, _status(call, failed), now)
    return _divided(
        replace(answered, call_id=call.id), images, failed, outcomes_of, item_attempts=item_attempts
    )


def of_decision(
    lane: LaneRecorded, decision: LaneDecision, *, outcomes_of: OutcomesOf, now: datetime
) -> Resolution:
    """A person has said what became of all the images of a held lane's call: none of them returns."""
    images = images_of(plan_of(lane).jobs)
    done = decision.decision == "treat_as_done"
    answered = _answered(lane, "completed" if done else "failed", now)
    failed = {} if done else images
    return _divided(
        replace(answered, decision=decision), images, failed, outcomes_of, item_attempts=1
    )


def _answered(lane: LaneRecorded, status: EndStatus, now: datetime) -> CallCompleted:
    plan = plan_of(lane)
    return CallCompleted(
        customer_id=lane.customer_id,
        seq=plan.seq,
        last_seq=plan.seq,
        status=status,
        images=plan.images,
        jobs=[],
        occurred_at=now,
        call_id=lane.call_id,
        started_at=lane.active_since,
        decision=lane.decision,
    )


def _divided(
    answer: CallCompleted,
    images: Mapping[str, BitMap],
    failed: Mapping[str, BitMap],
    outcomes_of: OutcomesOf,
    *,
    item_attempts: int,
) -> Resolution:
    """The answer with what became of each job's images: delivered unless they are among the failed."""
    jobs: dict[str, o.JobOutcomes] = {}
    told: list[JobOutcome] = []
    for job_id, planned in images.items():
        bad = failed.get(job_id, BitMap())
        jobs[job_id], lost, returned = o.after_call(
            outcomes_of(job_id), delivered=planned - bad, failed=bad, item_attempts=item_attempts
        )
        told.append(
            JobOutcome(
                job_id=job_id,
                delivered=pack_some(planned - bad),
                failed=pack_some(lost),
                returned=pack_some(returned),
            )
        )
    return Resolution(replace(answer, jobs=told), jobs)


def of_refusal(
    customer_id: str,
    seq: int,
    planned: Sequence[PlannedImages],
    refused: Refused,
    *,
    terms: Terms,
    outcomes_of: OutcomesOf,
    now: datetime,
) -> Resolution:
    """These images were refused as a call: those that are named fail, and so does one that is alone; the rest returns.

    Where nothing is named, the answer hints at half as many images, so that the bad one is found by halving.
    If no image is at fault, all return.
    """
    images = images_of(planned)
    total = sum(map(len, images.values()))
    alone = total == 1 and refused.by_image
    named = images if alone else images_named(planned, refused.named, terms)
    jobs = {
        job_id: o.settled(outcomes_of(job_id), failed=bad, cancelled=BitMap(), planned=BitMap())
        for job_id, bad in named.items()
    }
    told = [
        JobOutcome(
            job_id=job_id,
            failed=pack_some(named.get(job_id, BitMap())),
            returned=pack_some(whole - named.get(job_id, BitMap())),
        )
        for job_id, whole in images.items()
    ]
    answer = CallCompleted(
        customer_id=customer_id,
        seq=seq,
        last_seq=seq,
        status="refused",
        images=total,
        jobs=told,
        occurred_at=now,
        max_images=UNSET if named or not refused.by_image else total // 2,
    )
    return Resolution(answer, jobs)


def _failed(
    plan: CallPlan, call: Call, images: Mapping[str, BitMap], terms: Terms
) -> Mapping[str, BitMap]:
    if call.status is CallStatus.FAILED:
        return images
    try:
        named = images_named(plan.jobs, call.failed_urls, terms)
    except UnplannableError as error:
        raise UnresolvableError(f"its URLs cannot be built any more: {error}") from error
    if call.status is CallStatus.PARTIAL and not named:
        raise UnresolvableError(f"the API says of {call.id} partial, but names no image of ours")
    return named


def _status(call: Call, failed: Mapping[str, BitMap]) -> EndStatus:
    if call.status is CallStatus.FAILED:
        return "failed"
    return "partial" if failed else "completed"
