"""What to do about a plan next: the steps at the API, and what each answer leads to.

A pursuit is forgotten with its worker. `begin` finds the right one for a lane from its record alone:
a plan that may have been sent is looked up by reference before it is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec
from msgspec import UNSET

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core import answers as a
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.lane import plan_of
from imagelane.dispatcher.core.policy import Moment, Policy
from imagelane.dispatcher.core.polling import look_delay

LOOKS_BEFORE_VANISHED = 3
"""So many looks in a row must miss a call before it counts as vanished: lists and replicas lag."""


class Kind(StrEnum):
    """What is done when a step's wait is over."""

    ATTEMPT = "attempt"
    """Write the next attempt to the log; only then comes the `SEND`."""
    SEND = "send"
    FIND = "find"
    """Ask for our call by its reference."""
    LOOK = "look"
    """Ask how our call stands."""
    WATCH = "watch"
    """Ask whether somebody else's call of this customer still runs."""


@dataclass(frozen=True, slots=True)
class Pursuit:
    """The one step that is under way for a lane, and what its worker remembers.

    `failures`: steps in a row that brought nothing. `searches`: searches since the last attempt that
    found nothing. `in_doubt`: the last attempt's fate is not known. `foreign`: whose end is awaited.
    """

    kind: Kind
    after_seconds: float = 0.0
    failures: int = 0
    searches: int = 0
    in_doubt: bool = False
    foreign: str = ""


Answer = a.StartAnswer | a.LookAnswer | None
"""How a step ended; None for the wait before an attempt."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an answer: a record to write first, then a step, or the plan's end.

    Neither step nor end: a person must decide.
    """

    pursuit: Pursuit | None = None
    lane: LaneRecorded | None = None
    end: a.Call | a.Refused | None = None


def begin(lane: LaneRecorded, moment: Moment, *, wait_seconds: float = 0.0) -> Verdict:
    """The pursuit of a busy lane of which only the record is known."""
    policy = moment.policy
    if lane.state == "planned":
        return Verdict(Pursuit(Kind.ATTEMPT, wait_seconds))
    if lane.call_id is not UNSET:
        return Verdict(Pursuit(Kind.LOOK, wait_seconds))
    if lane.state == "submitting":
        return _reconcile(lane, Pursuit(Kind.SEND), "a worker ended while it was sending", moment)
    if not lane.ambiguous:
        return Verdict(Pursuit(Kind.ATTEMPT, wait_seconds))
    if not policy.can_search:
        return Verdict()
    wait_seconds = wait_seconds if policy.keys_protect else max(wait_seconds, policy.drain_seconds)
    return Verdict(Pursuit(Kind.FIND, wait_seconds, in_doubt=True))


def may_be_hastened(pursuit: Pursuit, policy: Policy) -> bool:
    """Whether a hint may cut the step's wait short. Never a wait for late requests."""
    search_only = pursuit.kind is Kind.FIND and policy.keys_protect
    return pursuit.kind is Kind.LOOK or search_only


def advance(lane: LaneRecorded, pursuit: Pursuit, answer: Answer, moment: Moment) -> Verdict:
    """What follows from the end of a step."""
    match pursuit.kind, answer:
        case Kind.ATTEMPT, None:
            return attempted(lane, pursuit, moment)
        case Kind.SEND, (
            a.Accepted()
            | a.Refused()
            | a.Busy()
            | a.Later()
            | a.Denied()
            | a.Unsent()
            | a.Unclear()
        ):
            return sent(lane, pursuit, answer, moment)
        case Kind.FIND, (a.Found() | a.NotFound() | a.Later() | a.Denied() | a.Unclear()):
            return searched(lane, pursuit, answer, moment)
        case Kind.LOOK, (a.Found() | a.NotFound() | a.Later() | a.Denied() | a.Unclear()):
            return looked(lane, pursuit, answer, moment)
        case Kind.WATCH, (a.Found() | a.NotFound() | a.Later() | a.Denied() | a.Unclear()):
            return watched(lane, pursuit, answer, moment)
    raise TypeError(f"{type(answer).__name__} is no answer to {pursuit.kind}")


def attempted(lane: LaneRecorded, pursuit: Pursuit, moment: Moment) -> Verdict:
    """The wait before an attempt is over: it becomes durable, then its bytes are sent."""
    return Verdict(
        Pursuit(Kind.SEND, failures=pursuit.failures),
        lanes.attempt(lane, moment.now, in_doubt=pursuit.in_doubt),
    )


def sent(lane: LaneRecorded, pursuit: Pursuit, answer: a.StartAnswer, moment: Moment) -> Verdict:
    """What the answer to a request for a new call leads to."""
    match answer:
        case a.Accepted(call):
            return _accepted(lane, call, moment)
        case a.Refused():
            return _refused(lane, answer, moment)
        case a.Busy(active):
            return _busy(lane, pursuit, active, moment)
        case a.Unclear(reason):
            return _reconcile(lane, pursuit, reason, moment)
        case a.Denied(reason):
            return _held(lane, reason, moment)
        case _:
            return _not_now(lane, pursuit, answer, moment)


def searched(lane: LaneRecorded, pursuit: Pursuit, answer: a.LookAnswer, moment: Moment) -> Verdict:
    """What the answer to a search by reference leads to."""
    match answer:
        case a.Found(call):
            return _accepted(lane, call, moment)
        case a.NotFound():
            return Verdict(_not_found(lane, pursuit, moment))
        case a.Denied(reason):
            return _held(lane, reason, moment, in_doubt=pursuit.in_doubt)
        case a.Later():
            return Verdict(_once_more(pursuit, answer, moment))
        case _:
            # Where a key protects, the search is a courtesy: do not wait for it forever.
            kind = Kind.ATTEMPT if moment.policy.keys_protect else Kind.FIND
            return Verdict(replace(_once_more(pursuit, answer, moment), kind=kind))


def looked(lane: LaneRecorded, pursuit: Pursuit, answer: a.LookAnswer, moment: Moment) -> Verdict:
    """What the answer to a look at our call leads to."""
    match answer:
        case a.Found(call):
            return _seen(lane, call, moment)
        case a.NotFound():
            return _missed(lane, pursuit, moment)
        case a.Denied(reason):
            return _held(lane, reason, moment)
        case _:
            again = _once_more(pursuit, answer, moment)
            wait = max(again.after_seconds, _pace(lane, moment))
            return Verdict(replace(again, after_seconds=wait))


def watched(lane: LaneRecorded, pursuit: Pursuit, answer: a.LookAnswer, moment: Moment) -> Verdict:
    """What the answer to a look at a foreign call leads to: our turn comes when it has ended."""
    match answer:
        case a.Found(call) if call.reference == plan_of(lane).reference:
            return _accepted(lane, call, moment)
        case a.Found(call) if call.status is a.CallStatus.ACTIVE:
            poll, failures = moment.policy.poll, pursuit.failures + 1
            wait = min(poll.max_seconds, poll.min_seconds * failures)
            return Verdict(replace(pursuit, failures=failures, after_seconds=wait))
        case a.Found() | a.NotFound():
            return Verdict(replace(pursuit, kind=Kind.ATTEMPT, after_seconds=0.0, foreign=""))
        case a.Denied(reason):
            return _held(lane, reason, moment)
        case _:
            return Verdict(_once_more(pursuit, answer, moment))


def held(lane: LaneRecorded, reason: str, moment: Moment) -> Verdict:
    """The lane stands still and looks again after the settings' time."""
    return _held(lane, reason, moment)


def _accepted(lane: LaneRecorded, call: a.Call, moment: Moment) -> Verdict:
    ended = call.status is not a.CallStatus.ACTIVE
    wait = 0.0 if ended else moment.policy.poll.min_seconds
    return Verdict(Pursuit(Kind.LOOK, wait), lanes.accept(lane, call.id, moment.now))


def _refused(lane: LaneRecorded, answer: a.Refused, moment: Moment) -> Verdict:
    if not lane.ambiguous:
        return Verdict(end=answer)
    return _held(lane, f"refused, but an earlier attempt may be running: {answer.reason}", moment)


def _seen(lane: LaneRecorded, call: a.Call, moment: Moment) -> Verdict:
    if call.status is not a.CallStatus.ACTIVE:
        return Verdict(end=call)
    if lane.state == "held":
        return _accepted(lane, call, moment)
    return Verdict(Pursuit(Kind.LOOK, _pace(lane, moment)))


def _not_now(
    lane: LaneRecorded, pursuit: Pursuit, answer: a.Later | a.Unsent, moment: Moment
) -> Verdict:
    again = replace(_once_more(pursuit, answer, moment), kind=Kind.ATTEMPT)
    return Verdict(again, _taken_back(lane, moment))


def _once_more(pursuit: Pursuit, answer: a.Later | a.Unsent | a.Unclear, moment: Moment) -> Pursuit:
    failures = pursuit.failures + 1
    wish = answer.after_seconds if isinstance(answer, a.Later) else None
    return replace(pursuit, failures=failures, after_seconds=moment.asked_for(wish, failures))


def _busy(lane: LaneRecorded, pursuit: Pursuit, active: a.Call | None, moment: Moment) -> Verdict:
    if active is not None and active.reference == plan_of(lane).reference:
        return _accepted(lane, active, moment)
    foreign = "" if active is None else active.id
    following = Pursuit(Kind.FIND, failures=pursuit.failures + 1, foreign=foreign)
    if not moment.policy.can_search:
        following = _turn_comes(following, moment)
    return Verdict(following, _taken_back(lane, moment))


def _taken_back(lane: LaneRecorded, moment: Moment) -> LaneRecorded | None:
    return None if lane.ambiguous else lanes.defer(lane, moment.now)


def _reconcile(lane: LaneRecorded, pursuit: Pursuit, reason: str, moment: Moment) -> Verdict:
    policy = moment.policy
    if not policy.can_search:
        why = f"nobody can tell whether the API took the call: {reason}"
        return _held(lane, why, moment, in_doubt=True)
    wait = 0.0 if policy.keys_protect else policy.drain_seconds
    return Verdict(Pursuit(Kind.FIND, wait, failures=pursuit.failures + 1, in_doubt=True))


def _not_found(lane: LaneRecorded, pursuit: Pursuit, moment: Moment) -> Pursuit:
    searches = pursuit.searches + 1
    in_doubt = pursuit.in_doubt or lane.ambiguous
    if searches < _searches_needed(moment.policy, in_doubt=in_doubt):
        wait = moment.policy.poll.max_seconds
        return replace(pursuit, searches=searches, after_seconds=wait)
    return _turn_comes(pursuit, moment)


def _turn_comes(pursuit: Pursuit, moment: Moment) -> Pursuit:
    if pursuit.foreign:
        return replace(pursuit, kind=Kind.WATCH, after_seconds=moment.policy.poll.min_seconds)
    wait = moment.after_failures(pursuit.failures)
    return replace(pursuit, kind=Kind.ATTEMPT, after_seconds=wait)


def _searches_needed(policy: Policy, *, in_doubt: bool) -> int:
    return 2 if in_doubt and not policy.keys_protect else 1


def _missed(lane: LaneRecorded, pursuit: Pursuit, moment: Moment) -> Verdict:
    searches = pursuit.searches + 1
    if searches < LOOKS_BEFORE_VANISHED and lane.state == "active":
        wait = _pace(lane, moment)
        return Verdict(replace(pursuit, searches=searches, after_seconds=wait))
    return _held(lane, f"the API no longer knows the call {lane.call_id}", moment)


def _held(lane: LaneRecorded, reason: str, moment: Moment, *, in_doubt: bool = False) -> Verdict:
    following = lanes.hold(lane, reason, moment.now, in_doubt=in_doubt)
    unchanged = lane == msgspec.structs.replace(following, occurred_at=lane.occurred_at)
    again = begin(following, moment, wait_seconds=moment.policy.hold_seconds)
    return replace(again, lane=None if unchanged else following)


def _pace(lane: LaneRecorded, moment: Moment) -> float:
    since = moment.now if lane.active_since is UNSET else lane.active_since
    return look_delay((moment.now - since).total_seconds(), moment.policy.poll)
