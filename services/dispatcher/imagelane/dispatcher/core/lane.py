"""The state machine of a lane. Whatever changes a lane's state goes through the table below.

`LaneRecorded` is the state itself, so the log is its history and its last record the whole lane.
Two laws hold besides the table: a plan's seq is the next one, and a *planned* lane has no request
under way that could still be accepted (whoever finds it may send without asking first), unless a
person has released it: then it is `ambiguous`, or still has its call's id, and is asked for first.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from msgspec import UNSET
from msgspec.structs import replace

from imagelane.contracts.commands import ReleaseLane
from imagelane.contracts.events import CallCompleted, LaneRecorded
from imagelane.contracts.parts import CallPlan, LaneDecision

State = Literal["idle", "planned", "submitting", "active", "held"]
MAX_REASON_CHARS: Final = 2_000


class Move(StrEnum):
    """What can happen to a lane."""

    PLAN = "plan"
    ATTEMPT = "attempt"
    DEFER = "defer"
    ACCEPT = "accept"
    OVERDUE = "overdue"
    RESOLVE = "resolve"
    REFUSE = "refuse"
    GIVE_UP = "give up"
    HOLD = "hold"
    RELEASE = "release"


TRANSITIONS: Final[dict[tuple[State, Move], State]] = {
    ("idle", Move.PLAN): "planned",
    ("idle", Move.REFUSE): "idle",
    ("planned", Move.ATTEMPT): "submitting",
    ("planned", Move.ACCEPT): "active",
    ("planned", Move.GIVE_UP): "idle",
    ("planned", Move.HOLD): "held",
    ("submitting", Move.ATTEMPT): "submitting",
    ("submitting", Move.DEFER): "planned",
    ("submitting", Move.ACCEPT): "active",
    ("submitting", Move.REFUSE): "idle",
    ("submitting", Move.GIVE_UP): "idle",
    ("submitting", Move.HOLD): "held",
    ("active", Move.OVERDUE): "active",
    ("active", Move.RESOLVE): "idle",
    ("active", Move.HOLD): "held",
    ("held", Move.ATTEMPT): "submitting",
    ("held", Move.ACCEPT): "active",
    ("held", Move.RESOLVE): "idle",
    ("held", Move.GIVE_UP): "idle",
    ("held", Move.HOLD): "held",
    ("held", Move.RELEASE): "planned",
}
"""Where each move leads; what is missing is a bug. `docs/lanes.md` shows it, with the words below."""

MEANINGS: Final[dict[Move, str]] = {
    Move.PLAN: "the batcher's next request is frozen: images, body, key",
    Move.ATTEMPT: "the same bytes under the same key are about to be sent, for the first time or again",
    Move.DEFER: 'a definite "not now": nothing of ours is under way',
    Move.ACCEPT: "the API has the call: it said so, or it was found there by our reference",
    Move.OVERDUE: "the call takes far longer than usual: an alert, and nothing else",
    Move.RESOLVE: "the call has ended, or a person has said what became of it; its number is consumed",
    Move.REFUSE: "refused for good, or too large to be planned; its number is consumed all the same",
    Move.GIVE_UP: "too old to be sent, and nothing of it is there: its number is consumed, its images return",
    Move.HOLD: "nothing is sent until it is clear what has happened; or held for another reason than before",
    Move.RELEASE: "a person has decided that the call is to be sent after all",
}


class IllegalMoveError(Exception):
    """A decision that the lane's state does not allow: a bug, and nothing was changed."""


def unheard_of(customer_id: str, now: datetime) -> LaneRecorded:
    """The lane of a customer for whom nothing was ever planned."""
    return LaneRecorded(customer_id=customer_id, state="idle", last_seq=0, occurred_at=now)


def is_busy(lane: LaneRecorded) -> bool:
    """Whether the call `last_seq` is not resolved yet."""
    return lane.state != "idle"


def plan_of(lane: LaneRecorded) -> CallPlan:
    """The frozen call of a busy lane."""
    if lane.plan is UNSET:
        raise IllegalMoveError(f"a lane that is {lane.state} has no plan")
    return lane.plan


def plan(lane: LaneRecorded, frozen: CallPlan, now: datetime) -> LaneRecorded:
    """The lane with its next call frozen."""
    if frozen.seq != lane.last_seq + 1:
        raise IllegalMoveError(f"seq {frozen.seq} planned after {lane.last_seq}")
    return _moved(lane, Move.PLAN, now, plan=frozen, last_seq=frozen.seq, last_answer=UNSET)


def attempt(lane: LaneRecorded, now: datetime, *, in_doubt: bool) -> LaneRecorded:
    """The lane with one more attempt, durable before its first byte is sent."""
    first = now if lane.first_attempt_at is UNSET else lane.first_attempt_at
    return _moved(
        lane,
        Move.ATTEMPT,
        now,
        attempts=lane.attempts + 1,
        ambiguous=lane.ambiguous or in_doubt,
        first_attempt_at=first,
        call_id=UNSET,  # of a call that vanished, and is sent again
        active_since=UNSET,
        overdue_since=UNSET,
    )


def defer(lane: LaneRecorded, now: datetime) -> LaneRecorded:
    """The lane after a definite "not now". Not for a lane with an ambiguous attempt."""
    if lane.ambiguous:
        raise IllegalMoveError("an attempt of unknown fate cannot be taken back")
    return _moved(lane, Move.DEFER, now)


def accept(lane: LaneRecorded, call_id: str, now: datetime) -> LaneRecorded:
    """The lane with its call running at the API."""
    since = now if lane.active_since is UNSET else lane.active_since
    return _moved(lane, Move.ACCEPT, now, call_id=call_id, active_since=since)


def overdue(lane: LaneRecorded, now: datetime) -> LaneRecorded:
    """The lane whose call takes far longer than usual."""
    return _moved(lane, Move.OVERDUE, now, overdue_since=now)


def resolve(lane: LaneRecorded, answer: CallCompleted, now: datetime) -> LaneRecorded:
    """The lane after its call has ended."""
    return _ended(lane, Move.RESOLVE, answer, now)


def refuse(lane: LaneRecorded, answer: CallCompleted, now: datetime) -> LaneRecorded:
    """The lane after its plan was refused for good; its seq is consumed."""
    if lane.ambiguous:
        raise IllegalMoveError("a refusal after an attempt of unknown fate is not definite")
    return _ended(lane, Move.REFUSE, answer, now)


def give_up(lane: LaneRecorded, answer: CallCompleted, now: datetime) -> LaneRecorded:
    """The lane after its plan has become too old. Who was in doubt has searched, or a person has decided."""
    return _ended(lane, Move.GIVE_UP, answer, now)


def hold(lane: LaneRecorded, reason: str, now: datetime, *, in_doubt: bool = False) -> LaneRecorded:
    """The lane standing still, with a reason that a person understands."""
    return _moved(
        lane,
        Move.HOLD,
        now,
        hold_reason=reason[:MAX_REASON_CHARS],
        held_since=now if lane.held_since is UNSET else lane.held_since,
        ambiguous=lane.ambiguous or in_doubt,
    )


def release_refusal(lane: LaneRecorded, command: ReleaseLane) -> str:
    """Why a person's command does not fit the lane, or an empty string if it does.

    One that is older than the hold was about an earlier hold of the same call: it may have been read twice.
    """
    if lane.state != "held" or lane.held_since is UNSET:
        return f"the lane is not held: it is {lane.state}, and its last call is {lane.last_seq}"
    if command.seq != lane.last_seq:
        return f"the call that is held is {lane.last_seq}"
    if command.occurred_at < lane.held_since:
        return f"it was decided before the lane came to be held, at {lane.held_since.isoformat()}"
    return ""


def release(lane: LaneRecorded, decision: LaneDecision, now: datetime) -> LaneRecorded:
    """The lane after a person has decided that its call is to be sent after all."""
    return _moved(lane, Move.RELEASE, now, decision=decision)


def _ended(lane: LaneRecorded, move: Move, answer: CallCompleted, now: datetime) -> LaneRecorded:
    return _moved(
        lane,
        move,
        now,
        last_seq=answer.seq,
        last_answer=answer,
        plan=UNSET,
        call_id=UNSET,
        attempts=0,
        ambiguous=False,
        first_attempt_at=UNSET,
        active_since=UNSET,
        overdue_since=UNSET,
        decision=UNSET,  # the answer has it
    )


def _moved(lane: LaneRecorded, move: Move, now: datetime, **changes: Any) -> LaneRecorded:
    state = TRANSITIONS.get((lane.state, move))
    if state is None:
        raise IllegalMoveError(f"{move} of a lane that is {lane.state}")
    if state != "held":
        changes |= {"hold_reason": UNSET, "held_since": UNSET}
    return replace(lane, state=state, occurred_at=now, **changes)
