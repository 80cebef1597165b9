"""What to do about a plan next: the steps at the API, and what each answer leads to.

A pursuit is forgotten with its worker. `begin` finds the right one for a lane from its record alone:
a plan that may have been sent is looked up by reference before it is sent again.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
from msgspec import UNSET

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core import answers as a
from imagelane.dispatcher.core import holds
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.lane import plan_of
from imagelane.dispatcher.core.overdue import is_overdue
from imagelane.dispatcher.core.policy import Moment
from imagelane.dispatcher.core.polling import look_delay
from imagelane.dispatcher.core.step import Answer, Kind, Pursuit, Verdict


def begin(lane: LaneRecorded, moment: Moment, *, wait_seconds: float = 0.0) -> Verdict:
    """The pursuit of a busy lane of which only the record is known."""
    if lane.call_id is not UNSET:
        return Verdict(Pursuit(Kind.LOOK, wait_seconds))
    if lane.state == "submitting":
        return _reconcile(lane, Pursuit(Kind.SEND), "a worker ended while it was sending", moment)
    return Verdict(
        _sent_again(lane, moment, wait_seconds) if lane.ambiguous else _sent(wait_seconds)
    )


def _sent(wait_seconds: float) -> Pursuit:
    return Pursuit(Kind.ATTEMPT, wait_seconds)


def _sent_again(lane: LaneRecorded, moment: Moment, wait_seconds: float) -> Pursuit | None:
    """What may be running already is searched for first. Where that cannot be, a person must have said so."""
    policy = moment.policy
    if not policy.can_search:
        return None if lane.state == "held" else _sent(wait_seconds)
    if not moment.key_protects(lane):
        wait_seconds = max(wait_seconds, policy.drain_seconds)
    return Pursuit(Kind.FIND, wait_seconds, in_doubt=True)


def may_be_hastened(lane: LaneRecorded, pursuit: Pursuit, moment: Moment) -> bool:
    """Whether a hint may cut the step's wait short. Never a wait for late requests."""
    search_only = pursuit.kind is Kind.FIND and moment.key_protects(lane)
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
    """The wait before an attempt is over: it becomes durable, then its bytes are sent.

    Not without a search if the API may have forgotten the key under which the call may be running.
    """
    is_searched = pursuit.searches >= moment.policy.consistent_reads
    forgotten = moment.policy.keys_protect and not moment.key_protects(lane)
    if lane.ambiguous and forgotten and not is_searched:
        return Verdict(_sent_again(lane, moment, 0.0))
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
            return _unclear(lane, pursuit, reason, moment)
        case a.Denied(reason):
            return _held(lane, holds.DENIED, reason, moment)
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
            return _held(lane, holds.DENIED, reason, moment, in_doubt=pursuit.in_doubt)
        case a.Unclear() if moment.key_protects(lane):
            # Where a key protects, the search is a courtesy: do not wait for it forever.
            return Verdict(replace(_once_more(pursuit, answer, moment), kind=Kind.ATTEMPT))
        case a.Unclear(reason) if _is_in_doubt_for_long(lane, moment):
            return _held(lane, holds.NO_CLEAR_ANSWER, reason, moment, in_doubt=pursuit.in_doubt)
        case _:
            return Verdict(replace(_once_more(pursuit, answer, moment), searches=0))


def looked(lane: LaneRecorded, pursuit: Pursuit, answer: a.LookAnswer, moment: Moment) -> Verdict:
    """What the answer to a look at our call leads to."""
    match answer:
        case a.Found(call) if lane.state == "active" and call.status is a.CallStatus.ACTIVE:
            return _running(lane, Pursuit(Kind.LOOK, _pace(lane, moment)), moment)
        case a.Found(call) if lane.state == "planned" or call.status is a.CallStatus.ACTIVE:
            return _accepted(lane, call, moment)
        case a.Found(call):
            return Verdict(end=call)
        case a.NotFound():
            return _missed(lane, pursuit, moment)
        case a.Denied(reason):
            return _held(lane, holds.DENIED, reason, moment)
        case _:
            again = _once_more(pursuit, answer, moment)
            wait = max(again.after_seconds, _pace(lane, moment))
            return _running(lane, replace(again, after_seconds=wait), moment)


def watched(lane: LaneRecorded, pursuit: Pursuit, answer: a.LookAnswer, moment: Moment) -> Verdict:
    """What the answer to a look at a foreign call leads to: our turn comes when it has ended."""
    match answer:
        case a.Found(call) if call.reference == plan_of(lane).reference:
            return _accepted(lane, call, moment)
        case a.Found(call) if call.status is a.CallStatus.ACTIVE:
            poll, searches = moment.policy.poll, pursuit.searches + 1
            wait = min(poll.max_seconds, poll.min_seconds * searches)
            return Verdict(replace(pursuit, searches=searches, failures=0, after_seconds=wait))
        case a.Found() | a.NotFound():
            return Verdict(_turn_has_come(lane, pursuit, moment))
        case a.Denied(reason):
            return _held(lane, holds.DENIED, reason, moment)
        case _:
            return Verdict(_once_more(pursuit, answer, moment))


def unresolved(lane: LaneRecorded, reason: str, moment: Moment) -> Verdict:
    """The call has ended, but not what became of its images: the lane stands still and looks again later."""
    return _held(lane, holds.UNRESOLVABLE, reason, moment)


def _accepted(lane: LaneRecorded, call: a.Call, moment: Moment) -> Verdict:
    ended = call.status is not a.CallStatus.ACTIVE
    wait = 0.0 if ended else moment.policy.poll.min_seconds
    return Verdict(Pursuit(Kind.LOOK, wait), lanes.accept(lane, call.id, moment.now))


def _refused(lane: LaneRecorded, answer: a.Refused, moment: Moment) -> Verdict:
    if not lane.ambiguous:
        return Verdict(end=answer)
    return _held(lane, holds.REFUSED_IN_DOUBT, answer.reason, moment)


def _running(lane: LaneRecorded, again: Pursuit, moment: Moment) -> Verdict:
    """Our call runs, as far as is known: it is looked at again, and told of once when that takes too long."""
    alert = (
        lane.state == "active"
        and lane.overdue_since is UNSET
        and is_overdue(lane, moment.policy.patience, moment.now)
    )
    return Verdict(again, lanes.overdue(lane, moment.now) if alert else None)


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
        if lane.ambiguous:
            why = f"a call of the customer is running that may be this one: {foreign}"
            return _held(lane, holds.FATE_UNKNOWN, why, moment)
        following = _turn_comes(following, moment)
    return Verdict(following, _taken_back(lane, moment))


def _taken_back(lane: LaneRecorded, moment: Moment) -> LaneRecorded | None:
    return None if lane.ambiguous else lanes.defer(lane, moment.now)


def _unclear(lane: LaneRecorded, pursuit: Pursuit, reason: str, moment: Moment) -> Verdict:
    if _is_in_doubt_for_long(lane, moment):
        return _held(lane, holds.NO_CLEAR_ANSWER, reason, moment, in_doubt=True)
    return _reconcile(lane, pursuit, reason, moment)


def _reconcile(lane: LaneRecorded, pursuit: Pursuit, reason: str, moment: Moment) -> Verdict:
    policy = moment.policy
    if not policy.can_search:
        return _held(lane, holds.FATE_UNKNOWN, reason, moment, in_doubt=True)
    wait = 0.0 if moment.key_protects(lane) else policy.drain_seconds
    return Verdict(Pursuit(Kind.FIND, wait, failures=pursuit.failures + 1, in_doubt=True))


def _not_found(lane: LaneRecorded, pursuit: Pursuit, moment: Moment) -> Pursuit:
    searches = pursuit.searches + 1
    in_doubt = pursuit.in_doubt or lane.ambiguous
    if searches < _searches_needed(lane, moment, in_doubt=in_doubt):
        wait = moment.policy.poll.max_seconds
        return replace(pursuit, searches=searches, after_seconds=wait)
    return _turn_comes(replace(pursuit, searches=searches), moment)


def _turn_has_come(lane: LaneRecorded, pursuit: Pursuit, moment: Moment) -> Pursuit:
    """The foreign call has ended; or it never ran, though the API said so, and there is no hurry."""
    wait = 0.0 if pursuit.searches else moment.after_failures(pursuit.failures)
    # Its end may have let in what was late: a plan in doubt is searched for once more.
    again = _sent_again(lane, moment, wait) if lane.ambiguous else None
    return replace(again or _sent(wait), failures=pursuit.failures)


def _turn_comes(pursuit: Pursuit, moment: Moment) -> Pursuit:
    if pursuit.foreign:
        wait = moment.policy.poll.min_seconds
        return replace(pursuit, kind=Kind.WATCH, searches=0, after_seconds=wait)
    wait = moment.after_failures(pursuit.failures)
    return replace(pursuit, kind=Kind.ATTEMPT, after_seconds=wait)


def _searches_needed(lane: LaneRecorded, moment: Moment, *, in_doubt: bool) -> int:
    return moment.policy.consistent_reads if in_doubt and not moment.key_protects(lane) else 1


def _is_in_doubt_for_long(lane: LaneRecorded, moment: Moment) -> bool:
    if lane.first_attempt_at is UNSET or not moment.policy.can_search:
        return False
    doubted_seconds = (moment.now - lane.first_attempt_at).total_seconds()
    return doubted_seconds > moment.policy.doubt_seconds


def _missed(lane: LaneRecorded, pursuit: Pursuit, moment: Moment) -> Verdict:
    searches = pursuit.searches + 1
    if lane.state == "planned":  # it was held for this, and a person wants it to be sent again
        return Verdict(_sent_again(lane, moment, 0.0))
    if searches < moment.policy.consistent_reads and lane.state == "active":
        wait = _pace(lane, moment)
        return Verdict(replace(pursuit, searches=searches, after_seconds=wait))
    return _held(lane, holds.VANISHED, str(lane.call_id), moment)


def _held(
    lane: LaneRecorded, kind: holds.Hold, detail: str, moment: Moment, *, in_doubt: bool = False
) -> Verdict:
    """The lane stands still, and tries again after the settings' time where that can do no harm."""
    doubt = lane.call_id is UNSET and (lane.ambiguous or in_doubt)
    if doubt and not moment.policy.can_search:
        kind = holds.FATE_UNKNOWN
    following = lanes.hold(lane, kind.reason(detail), moment.now, in_doubt=in_doubt)
    unchanged = lane == msgspec.structs.replace(following, occurred_at=lane.occurred_at)
    again = begin(following, moment, wait_seconds=moment.policy.hold_seconds)
    return replace(again, lane=None if unchanged else following)


def _pace(lane: LaneRecorded, moment: Moment) -> float:
    since = moment.now if lane.active_since is UNSET else lane.active_since
    return look_delay((moment.now - since).total_seconds(), moment.policy.poll)
