"""What is said and counted of a draft that has become durable: one line for each lane, call and command."""

from __future__ import annotations

import structlog
from msgspec import UNSET

from imagelane.contracts.events import CallCompleted, LaneRecorded
from imagelane.dispatcher import metrics
from imagelane.dispatcher.core import holds
from imagelane.dispatcher.core.draft import Draft, Released


def report(draft: Draft) -> None:
    """Says and counts what has happened."""
    for released in draft.released:
        _say_release(released)
    for lane in draft.lanes.values():
        _say_lane(lane)
        _count(lane)
    metrics.EXPIRED.inc(len(draft.expired))


def _say_lane(lane: LaneRecorded) -> None:
    log = structlog.get_logger("imagelane.lanes")
    overdue = _has_become_overdue(lane)
    say = log.error if overdue else log.warning if lane.state == "held" else log.info
    say(
        "lane.overdue" if overdue else f"lane.{lane.state}",
        customer_id=lane.customer_id,
        seq=lane.last_seq,
        images=lane.plan.images if lane.plan is not UNSET else None,
        call_id=lane.call_id if lane.call_id is not UNSET else None,
        attempts=lane.attempts,
        reason=lane.hold_reason if lane.hold_reason is not UNSET else None,
    )


def _say_release(released: Released) -> None:
    log = structlog.get_logger("imagelane.lanes")
    command = released.command
    say, word = (log.warning, "release_refused") if released.refusal else (log.info, "released")
    say(
        f"lane.{word}",
        customer_id=command.customer_id,
        seq=command.seq,
        decision=command.decision,
        decided_by=command.decided_by,
        decided_at=command.occurred_at.isoformat(),
        note=command.note if command.note is not UNSET else None,
        refusal=released.refusal or None,
    )
    metrics.RELEASES.labels("not_fitting" if released.refusal else command.decision).inc()


def _count(lane: LaneRecorded) -> None:
    if lane.state == "held" and lane.held_since == lane.occurred_at:
        reason = lane.hold_reason if lane.hold_reason is not UNSET else ""
        metrics.HOLDS.labels(metrics.KINDS[holds.kind_of(reason)]).inc()
    if _has_become_overdue(lane):
        metrics.OVERDUE_TOTAL.inc()
    answer = lane.last_answer
    if lane.state == "idle" and answer is not UNSET:
        status = "decided" if _is_decided(answer) else answer.status
        metrics.ENDED.labels(status).inc()
        metrics.IMAGES.labels(status).inc(answer.images)
        if answer.started_at is not UNSET:
            seconds = (lane.occurred_at - answer.started_at).total_seconds()
            metrics.CALL_SECONDS.observe(seconds)


def _is_decided(answer: CallCompleted) -> bool:
    return answer.decision is not UNSET and answer.decision.decision != "retry"


def _has_become_overdue(lane: LaneRecorded) -> bool:
    return lane.state == "active" and lane.overdue_since == lane.occurred_at
