"""Events about a customer's calls: what the batcher asks for, and what the dispatcher makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET, UnsetType

from imagelane.contracts import events as e
from imagelane.contracts.image_sets import unpack
from imagelane.contracts.parts import CallPlan, LaneDecision
from imagelane.tracker.core.calls import Call, CallSets, Lane, Pursuit
from imagelane.tracker.core.changes import (
    Changes,
    Place,
    Row,
    held,
    known,
    milliseconds,
    moment,
    plain,
)
from imagelane.tracker.core.jobs import number_of
from imagelane.tracking.steps import Kind

_KINDS: Final = {
    "planned": Kind.CALL_PLANNED,
    "submitting": Kind.CALL_SUBMITTING,
    "active": Kind.CALL_ACTIVE,
    "held": Kind.CALL_HELD,
}


def asked(changes: Changes, place: Place, event: e.BatchRequested) -> None:
    """The batcher asks for the customer's next call."""
    at = milliseconds(event.occurred_at)
    call = Call(event.customer_id, held(event.seq), requested_at=at)
    for one in event.jobs:
        _sets(call, one.job_id).asked |= unpack(one.images)
    _note(changes, call, [one.job_id for one in event.jobs], at)
    changes.call_steps.append(_step(place, call, Kind.BATCH_REQUESTED, at))


def recorded(changes: Changes, place: Place, event: e.LaneRecorded) -> None:
    """The dispatcher's log says where the lane stands, and so its open call, or how the last one ended."""
    at = milliseconds(event.occurred_at)
    lane = _lane(place, event)
    answer = None if event.last_answer is UNSET else _answer(event.last_answer)
    if event.plan is not UNSET:
        call = _planned(place, event, event.plan)
        _note(changes, call, [one.job_id for one in event.plan.jobs], at)
        kind = _KINDS.get(event.state)
        if kind is not None:
            step = _step(place, call, kind, at)
            by = known(event.decision.decided_by) if event.decision else None
            step |= {"reason": known(event.hold_reason), "decided_by": by}
            changes.call_steps.append(step)
    if answer is not None and event.last_answer is not UNSET:
        _note(changes, answer, [one.job_id for one in event.last_answer.jobs], at)
    changes.lane(lane)


def completed(changes: Changes, place: Place, event: e.CallCompleted) -> None:
    """What a call did."""
    at = milliseconds(event.occurred_at)
    answer = _answer(event)
    _note(changes, answer, [one.job_id for one in event.jobs], at)
    step = _step(place, answer, Kind.CALL_COMPLETED, at)
    changes.call_steps.append(step | {"outcome": event.status, "decided_by": answer.decided_by})


def _note(changes: Changes, call: Call, job_ids: Iterable[str], at: int) -> None:
    for job_id in job_ids:
        changes.job(call.customer_id, job_id, at)
    changes.call(call)


def _sets(call: Call, job_id: str) -> CallSets:
    return call.jobs.setdefault(number_of(job_id), CallSets())


def _lane(place: Place, event: e.LaneRecorded) -> Lane:
    return Lane(
        customer_id=event.customer_id,
        log_offset=place.age_in_log,
        state=event.state,
        last_seq=held(event.last_seq),
        planned=0 if event.plan is UNSET else held(event.plan.images),
        changed_at=milliseconds(event.occurred_at),
        hold_reason=known(event.hold_reason),
        held_since=moment(event.held_since),
        usual_seconds=None if event.usual_seconds is UNSET else event.usual_seconds,
        usual_images=None if event.usual_images is UNSET else event.usual_images,
        overdue_since=moment(event.overdue_since),
    )


def _planned(place: Place, event: e.LaneRecorded, plan: CallPlan) -> Call:
    pursuit = Pursuit(
        log_offset=place.age_in_log,
        state=event.state,
        reference=plain(plan.reference),
        log_call_id=known(event.call_id),
        attempts=held(event.attempts),
        ambiguous=event.ambiguous,
        planned=held(plan.images),
        planned_at=milliseconds(plan.planned_at),
        first_attempt_at=moment(event.first_attempt_at),
        active_since=moment(event.active_since),
        hold_reason=known(event.hold_reason),
    )
    call = Call(event.customer_id, held(plan.seq), pursuit=pursuit)
    _decided(call, event.decision)
    for one in plan.jobs:
        _sets(call, one.job_id).planned |= unpack(one.images)
    return call


def _answer(event: e.CallCompleted) -> Call:
    call = Call(
        customer_id=event.customer_id,
        seq=held(event.seq),
        status=event.status,
        call_id=known(event.call_id),
        images=held(event.images),
        started_at=moment(event.started_at),
        ended_at=milliseconds(event.occurred_at),
    )
    _decided(call, event.decision)
    for one in event.jobs:
        sets = _sets(call, one.job_id)
        sets.delivered |= unpack(one.delivered)
        sets.failed |= unpack(one.failed)
        sets.returned |= unpack(one.returned)
    return call


def _decided(call: Call, decision: LaneDecision | UnsetType) -> None:
    if decision is not UNSET:
        call.decision, call.decided_by = decision.decision, plain(decision.decided_by)


def _step(place: Place, call: Call, kind: Kind, at: int) -> Row:
    return {
        "customer_id": call.customer_id,
        "seq": call.seq,
        "kind": kind,
        "partition": place.partition,
        "offset": place.offset,
        "at": at,
        "outcome": None,
        "reason": None,
        "decided_by": None,
    }
