"""Which step follows from which answer, for each level of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from tests.unit.dispatcher.conftest import LATER, NOW, lane, moment, planned

from imagelane.contracts.events import LaneRecorded
from imagelane.contracts.parts import LaneDecision
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.answers import (
    Accepted,
    Busy,
    Call,
    CallStatus,
    Denied,
    Found,
    Later,
    NotFound,
    Refused,
    Unclear,
    Unsent,
)
from imagelane.dispatcher.core.policy import Capabilities
from imagelane.dispatcher.core.pursuit import advance, begin, may_be_hastened
from imagelane.dispatcher.core.step import Answer, Kind, Pursuit, Verdict

LEVELS: tuple[Capabilities, ...] = get_args(Capabilities)
SEARCHING: tuple[Capabilities, ...] = ("A", "B", "C")
OURS = Call("b-1", CallStatus.ACTIVE, planned().reference)
THEIRS = Call("b-9", CallStatus.ACTIVE, "theirs")
ENDED = Call("b-1", CallStatus.COMPLETED, planned().reference)
UNCLEAR = Unclear("no answer came")
DENIED = Denied("the API answered 401")


def after(
    one: LaneRecorded, pursuit: Pursuit, answer: Answer, capabilities: Capabilities = "A"
) -> Verdict:
    return advance(one, pursuit, answer, moment(capabilities))


def step(verdict: Verdict) -> tuple[Kind, float]:
    assert verdict.pursuit is not None
    return verdict.pursuit.kind, verdict.pursuit.after_seconds


def state(verdict: Verdict) -> str | None:
    return None if verdict.lane is None else verdict.lane.state


class TestSending:
    def test_an_attempt_is_durable_before_its_bytes_are_sent(self) -> None:
        verdict = after(lane("planned"), Pursuit(Kind.ATTEMPT), None)
        assert (state(verdict), step(verdict)) == ("submitting", (Kind.SEND, 0.0))

    def test_an_accepted_call_is_looked_at_soon(self) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND), Accepted(OURS))
        assert (state(verdict), step(verdict)) == ("active", (Kind.LOOK, 0.2))
        assert verdict.lane is not None
        assert verdict.lane.call_id == "b-1"

    def test_a_call_that_has_already_ended_is_looked_at_at_once(self) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND), Accepted(ENDED))
        assert (state(verdict), step(verdict)) == ("active", (Kind.LOOK, 0.0))

    def test_a_refusal_of_the_only_attempt_ends_the_plan(self) -> None:
        refused = Refused("bad", frozenset({"u"}))
        assert after(lane("submitting"), Pursuit(Kind.SEND), refused).end == refused

    @pytest.mark.parametrize("capabilities", SEARCHING)
    def test_a_refusal_after_an_ambiguous_attempt_is_not_believed(
        self, capabilities: Capabilities
    ) -> None:
        in_doubt = lane("submitting", ambiguous=True)
        verdict = after(in_doubt, Pursuit(Kind.SEND), Refused("bad"), capabilities)
        assert (state(verdict), step(verdict), verdict.end) == ("held", (Kind.FIND, 60.0), None)

    @pytest.mark.parametrize("answer", [Unsent("refused"), Later(), Later(7.0), Later(1e9)])
    def test_a_definite_not_now_is_tried_again_under_the_same_plan(self, answer: Answer) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND, failures=2), answer)
        waits = {Unsent("refused"): 2.0, Later(): 2.0, Later(7.0): 7.5, Later(1e9): 600.5}
        assert (state(verdict), step(verdict)) == ("planned", (Kind.ATTEMPT, waits[answer]))

    def test_in_doubt_a_definite_not_now_takes_nothing_back(self) -> None:
        verdict = after(lane("submitting", ambiguous=True), Pursuit(Kind.SEND), Later(1.0))
        assert (state(verdict), step(verdict)) == (None, (Kind.ATTEMPT, 1.5))

    def test_denied_the_lane_is_held_and_tries_again_later(self) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND), DENIED)
        assert (state(verdict), step(verdict)) == ("held", (Kind.ATTEMPT, 60.0))
        assert verdict.lane is not None
        assert "the API answered 401" in str(verdict.lane.hold_reason)
        assert "mending credentials" in str(verdict.lane.hold_reason)

    @pytest.mark.parametrize(("capabilities", "wait"), [("A", 0.0), ("B", 40.0), ("C", 40.0)])
    def test_an_ambiguous_answer_is_searched_for(
        self, capabilities: Capabilities, wait: float
    ) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND), UNCLEAR, capabilities)
        assert (state(verdict), step(verdict)) == (None, (Kind.FIND, wait))

    def test_at_level_d_an_ambiguous_answer_asks_a_person(self) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND), UNCLEAR, "D")
        assert (state(verdict), verdict.pursuit) == ("held", None)
        assert verdict.lane is not None
        assert verdict.lane.ambiguous


class TestConflict:
    def test_our_own_call_is_adopted(self) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND), Busy(OURS))
        assert (state(verdict), step(verdict)) == ("active", (Kind.LOOK, 0.2))

    @pytest.mark.parametrize("active", [THEIRS, None])
    def test_whether_it_is_ours_is_asked_first(self, active: Call | None) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND), Busy(active))
        assert (state(verdict), step(verdict)) == ("planned", (Kind.FIND, 0.0))

    def test_the_end_of_a_foreign_call_is_awaited(self) -> None:
        searching = Pursuit(Kind.FIND, failures=1, foreign="b-9")
        watching = after(lane("planned"), searching, NotFound()).pursuit
        assert watching == Pursuit(Kind.WATCH, 0.2, failures=1, foreign="b-9")
        still = after(lane("planned"), watching, Found(THEIRS)).pursuit
        assert still == Pursuit(Kind.WATCH, 0.2, searches=1, foreign="b-9")
        again = after(lane("planned"), still, Found(THEIRS)).pursuit
        assert again == Pursuit(Kind.WATCH, 0.4, searches=2, foreign="b-9")
        for gone in (NotFound(), Found(Call("b-9", CallStatus.FAILED))):
            assert step(after(lane("planned"), again, gone)) == (Kind.ATTEMPT, 0.0)

    @pytest.mark.parametrize("gone", [NotFound(), Found(Call("b-9", CallStatus.FAILED))])
    def test_a_foreign_call_that_never_ran_does_not_make_us_hurry(self, gone: Answer) -> None:
        """An API that says 409 and shows no running call is not asked a hundred times a second."""
        watching = Pursuit(Kind.WATCH, failures=4, foreign="b-9")
        verdict = after(lane("planned"), watching, gone)
        assert verdict.pursuit == Pursuit(Kind.ATTEMPT, 4.0, failures=4)

    @pytest.mark.parametrize(("capabilities", "wait"), [("A", 0.0), ("B", 40.0), ("C", 40.0)])
    def test_in_doubt_our_call_is_searched_for_once_more_when_the_foreign_one_has_ended(
        self, capabilities: Capabilities, wait: float
    ) -> None:
        in_doubt = lane("submitting", ambiguous=True)
        watching = Pursuit(Kind.WATCH, searches=3, foreign="b-9")
        verdict = after(in_doubt, watching, NotFound(), capabilities)
        assert verdict.pursuit == Pursuit(Kind.FIND, wait, in_doubt=True)

    def test_at_level_d_a_busy_customer_in_doubt_asks_a_person(self) -> None:
        in_doubt = lane("submitting", ambiguous=True)
        verdict = after(in_doubt, Pursuit(Kind.SEND), Busy(THEIRS), "D")
        assert (state(verdict), verdict.pursuit) == ("held", None)
        assert verdict.lane is not None
        assert "b-9" in str(verdict.lane.hold_reason)

    def test_a_foreign_call_that_shows_our_reference_is_ours(self) -> None:
        verdict = after(lane("planned"), Pursuit(Kind.WATCH, foreign="b-1"), Found(OURS))
        assert (state(verdict), step(verdict)) == ("active", (Kind.LOOK, 0.2))

    @pytest.mark.parametrize(("answer", "wait"), [(UNCLEAR, 1.0), (Later(3.0), 3.5)])
    def test_watching_has_patience(self, answer: Answer, wait: float) -> None:
        watching = Pursuit(Kind.WATCH, failures=1, foreign="b-9")
        assert step(after(lane("planned"), watching, answer)) == (Kind.WATCH, wait)

    def test_watching_can_be_denied(self) -> None:
        verdict = after(lane("planned"), Pursuit(Kind.WATCH, foreign="b-9"), DENIED)
        assert (state(verdict), step(verdict)) == ("held", (Kind.ATTEMPT, 60.0))

    @pytest.mark.parametrize(("active", "kind"), [(THEIRS, Kind.WATCH), (None, Kind.ATTEMPT)])
    def test_an_api_that_cannot_be_searched_is_only_watched(
        self, active: Call | None, kind: Kind
    ) -> None:
        verdict = after(lane("submitting"), Pursuit(Kind.SEND), Busy(active), "D")
        assert (state(verdict), step(verdict)[0]) == ("planned", kind)


class TestSearching:
    @pytest.mark.parametrize("one", [lane("submitting"), lane("planned"), lane("held")])
    def test_a_found_call_is_adopted(self, one: LaneRecorded) -> None:
        verdict = after(one, Pursuit(Kind.FIND), Found(OURS))
        assert (state(verdict), step(verdict)) == ("active", (Kind.LOOK, 0.2))

    def test_where_a_key_protects_one_search_is_enough(self) -> None:
        verdict = after(
            lane("submitting"), Pursuit(Kind.FIND, failures=1, in_doubt=True), NotFound()
        )
        assert step(verdict) == (Kind.ATTEMPT, 0.5)
        following = after(lane("submitting"), verdict.pursuit or Pursuit(Kind.FIND), None)
        assert following.lane is not None
        assert following.lane.ambiguous

    @pytest.mark.parametrize("capabilities", ["B", "C"])
    def test_elsewhere_the_api_must_miss_it_again_and_again(
        self, capabilities: Capabilities
    ) -> None:
        """Its list flaps: only so many misses in a row count."""
        pursuit = Pursuit(Kind.FIND, 40.0, in_doubt=True)
        for answer in (NotFound(), NotFound(), UNCLEAR, NotFound(), NotFound()):
            verdict = after(lane("submitting"), pursuit, answer, capabilities)
            assert verdict.pursuit is not None
            pursuit = verdict.pursuit
            assert pursuit.kind is Kind.FIND
        assert pursuit.after_seconds == 5.0
        last = after(lane("submitting"), pursuit, NotFound(), capabilities)
        assert last.pursuit == Pursuit(Kind.ATTEMPT, 0.5, failures=1, searches=3, in_doubt=True)

    @pytest.mark.parametrize("capabilities", ["B", "C"])
    def test_a_call_that_stays_in_doubt_for_long_is_held(self, capabilities: Capabilities) -> None:
        old = replace(lane("submitting"), first_attempt_at=LATER - timedelta(seconds=301))
        verdict = after(old, Pursuit(Kind.FIND, in_doubt=True), UNCLEAR, capabilities)
        assert (state(verdict), step(verdict)) == ("held", (Kind.FIND, 60.0))
        assert verdict.lane is not None
        assert verdict.lane.ambiguous

    @pytest.mark.parametrize("capabilities", SEARCHING)
    def test_so_is_one_that_no_attempt_gets_clear(self, capabilities: Capabilities) -> None:
        old = replace(lane("submitting"), first_attempt_at=LATER - timedelta(seconds=301))
        verdict = after(old, Pursuit(Kind.SEND), UNCLEAR, capabilities)
        assert (state(verdict), step(verdict)) == ("held", (Kind.FIND, 60.0))

    @pytest.mark.parametrize(("capabilities", "kind"), [("A", Kind.ATTEMPT), ("B", Kind.FIND)])
    def test_only_a_key_makes_an_unclear_search_dispensable(
        self, capabilities: Capabilities, kind: Kind
    ) -> None:
        pursuit = Pursuit(Kind.FIND, failures=1, in_doubt=True)
        verdict = after(lane("submitting"), pursuit, UNCLEAR, capabilities)
        assert step(verdict) == (kind, 1.0)
        assert verdict.pursuit is not None
        assert verdict.pursuit.in_doubt

    def test_a_search_may_be_put_off_or_denied(self) -> None:
        pursuit = Pursuit(Kind.FIND, in_doubt=True)
        assert step(after(lane("submitting"), pursuit, Later(3.0))) == (Kind.FIND, 3.5)
        verdict = after(lane("submitting"), pursuit, DENIED)
        assert (state(verdict), step(verdict)) == ("held", (Kind.FIND, 60.0))
        assert verdict.lane is not None
        assert verdict.lane.ambiguous


class TestLooking:
    def test_an_ended_call_ends_the_plan(self) -> None:
        assert after(lane("active"), Pursuit(Kind.LOOK), Found(ENDED)) == Verdict(end=ENDED)
        assert after(lane("held", call=True), Pursuit(Kind.LOOK), Found(ENDED)).end == ENDED

    def test_a_running_call_is_looked_at_again_after_a_tenth_of_its_age(self) -> None:
        verdict = after(lane("active"), Pursuit(Kind.LOOK, failures=3, searches=2), Found(OURS))
        assert verdict == Verdict(Pursuit(Kind.LOOK, 3.0))

    @pytest.mark.parametrize(
        ("answer", "failures", "wait"),
        [(UNCLEAR, 0, 3.0), (UNCLEAR, 5, 16.0), (Later(9.0), 0, 9.5)],
    )
    def test_a_look_that_fails_leaves_the_call_active(
        self, answer: Answer, failures: int, wait: float
    ) -> None:
        verdict = after(lane("active"), Pursuit(Kind.LOOK, failures=failures), answer)
        assert (state(verdict), step(verdict)) == (None, (Kind.LOOK, wait))

    def test_a_call_that_is_missed_again_and_again_has_vanished(self) -> None:
        one, pursuit = lane("active"), Pursuit(Kind.LOOK)
        for _ in range(2):
            verdict = after(one, pursuit, NotFound())
            assert (state(verdict), step(verdict)) == (None, (Kind.LOOK, 3.0))
            pursuit = verdict.pursuit or pursuit
        verdict = after(one, pursuit, NotFound())
        assert (state(verdict), step(verdict)) == ("held", (Kind.LOOK, 60.0))

    def test_a_held_call_that_is_still_missed_is_not_recorded_again(self) -> None:
        one = after(lane("active"), Pursuit(Kind.LOOK, searches=2), NotFound()).lane
        assert one is not None
        again = after(one, Pursuit(Kind.LOOK), NotFound())
        assert (state(again), step(again)) == (None, (Kind.LOOK, 60.0))

    def test_a_held_call_that_is_seen_running_is_active_again(self) -> None:
        verdict = after(lane("held", call=True), Pursuit(Kind.LOOK), Found(OURS))
        assert (state(verdict), step(verdict)) == ("active", (Kind.LOOK, 0.2))

    @pytest.mark.parametrize("answer", [Found(OURS), UNCLEAR, Later()])
    def test_a_call_that_takes_far_too_long_is_told_of_once(self, answer: Answer) -> None:
        old = replace(lane("active"), active_since=LATER - timedelta(seconds=601))
        verdict = after(old, Pursuit(Kind.LOOK), answer)
        assert (state(verdict), step(verdict)[0]) == ("active", Kind.LOOK)
        assert verdict.lane is not None
        assert verdict.lane.overdue_since == LATER
        assert after(verdict.lane, Pursuit(Kind.LOOK), answer).lane is None

    def test_a_held_call_is_not_overdue_besides(self) -> None:
        old = replace(lane("held", call=True), active_since=LATER - timedelta(seconds=601))
        assert after(old, Pursuit(Kind.LOOK), UNCLEAR).lane is None

    def test_a_denied_look_holds(self) -> None:
        verdict = after(lane("active"), Pursuit(Kind.LOOK), DENIED)
        assert (state(verdict), step(verdict)) == ("held", (Kind.LOOK, 60.0))


class TestBeginning:
    @pytest.mark.parametrize("capabilities", LEVELS)
    def test_a_planned_call_was_never_sent_and_may_be(self, capabilities: Capabilities) -> None:
        verdict = begin(lane("planned"), moment(capabilities))
        assert verdict == Verdict(Pursuit(Kind.ATTEMPT))

    @pytest.mark.parametrize("capabilities", LEVELS)
    def test_an_active_call_is_looked_at(self, capabilities: Capabilities) -> None:
        assert begin(lane("active"), moment(capabilities)) == Verdict(Pursuit(Kind.LOOK))

    @pytest.mark.parametrize(("capabilities", "wait"), [("A", 0.0), ("B", 40.0), ("C", 40.0)])
    def test_a_call_that_may_have_been_sent_is_searched_for(
        self, capabilities: Capabilities, wait: float
    ) -> None:
        verdict = begin(lane("submitting"), moment(capabilities))
        assert verdict == Verdict(Pursuit(Kind.FIND, wait, failures=1, in_doubt=True))

    def test_at_level_d_it_is_held(self) -> None:
        verdict = begin(lane("submitting"), moment("D"))
        assert (state(verdict), verdict.pursuit) == ("held", None)

    def test_a_held_lane_looks_again_as_far_as_that_is_safe(self) -> None:
        in_doubt = lanes.hold(lane("submitting"), "why", NOW, in_doubt=True)
        assert begin(lane("held"), moment("D")) == Verdict(Pursuit(Kind.ATTEMPT))
        assert begin(lane("held", call=True), moment("D")) == Verdict(Pursuit(Kind.LOOK))
        assert begin(in_doubt, moment("A")) == Verdict(Pursuit(Kind.FIND, in_doubt=True))
        assert begin(in_doubt, moment("C")) == Verdict(Pursuit(Kind.FIND, 40.0, in_doubt=True))
        assert begin(in_doubt, moment("D")) == Verdict()


class TestReleased:
    """What follows when a person has said `retry`."""

    @staticmethod
    def released(one: LaneRecorded) -> LaneRecorded:
        decision = LaneDecision(decision="retry", decided_by="kim", decided_at=NOW)
        return lanes.release(one, decision, NOW)

    @pytest.mark.parametrize("capabilities", LEVELS)
    def test_what_was_never_in_doubt_is_sent_at_once(self, capabilities: Capabilities) -> None:
        one = self.released(lane("held"))
        assert begin(one, moment(capabilities)).pursuit == Pursuit(Kind.ATTEMPT)

    @pytest.mark.parametrize(
        ("capabilities", "pursuit"),
        [
            ("A", Pursuit(Kind.FIND, in_doubt=True)),
            ("B", Pursuit(Kind.FIND, 40.0, in_doubt=True)),
            ("C", Pursuit(Kind.FIND, 40.0, in_doubt=True)),
            ("D", Pursuit(Kind.ATTEMPT)),
        ],
    )
    def test_in_doubt_it_is_searched_for_before_where_that_can_be(
        self, capabilities: Capabilities, pursuit: Pursuit
    ) -> None:
        one = self.released(lane("held", ambiguous=True))
        assert begin(one, moment(capabilities)).pursuit == pursuit
        vanished = self.released(lane("held", ambiguous=True, call=True))
        assert begin(vanished, moment(capabilities)).pursuit == Pursuit(Kind.LOOK)
        missed = after(vanished, Pursuit(Kind.LOOK), NotFound(), capabilities)
        assert missed == Verdict(pursuit)

    def test_a_call_that_has_come_back_is_adopted(self) -> None:
        one = self.released(lane("held", call=True))
        for call, wait in ((OURS, 0.2), (ENDED, 0.0)):
            verdict = after(one, Pursuit(Kind.LOOK), Found(call))
            assert (state(verdict), step(verdict)) == ("active", (Kind.LOOK, wait))

    @pytest.mark.parametrize("answer", [DENIED, Refused("bad"), UNCLEAR])
    def test_at_level_d_another_doubt_asks_again(self, answer: Answer) -> None:
        sent = lanes.attempt(self.released(lane("held", ambiguous=True)), NOW, in_doubt=False)
        verdict = after(sent, Pursuit(Kind.SEND), answer, "D")
        assert (state(verdict), verdict.pursuit) == ("held", None)
        assert verdict.lane is not None
        assert "Nothing is sent until a person decides" in str(verdict.lane.hold_reason)


def test_hints_never_cut_a_wait_for_late_requests_short() -> None:
    hastened = {
        (kind, level)
        for kind in Kind
        for level in LEVELS
        if may_be_hastened(lane("submitting"), Pursuit(kind), moment(level))
    }
    assert hastened == {(Kind.LOOK, level) for level in LEVELS} | {(Kind.FIND, "A")}


class TestKeysThatMayBeForgotten:
    """Level A keeps a key for a day. After half of it a call in doubt is treated as at level B."""

    OLD = replace(lane("submitting", ambiguous=True), first_attempt_at=LATER - timedelta(hours=12))

    def test_late_requests_are_waited_out(self) -> None:
        verdict = after(self.OLD, Pursuit(Kind.SEND), UNCLEAR)
        assert verdict.lane is None or verdict.lane.state == "held"
        assert verdict.pursuit is not None
        assert (verdict.pursuit.kind, verdict.pursuit.after_seconds >= 40.0) == (Kind.FIND, True)

    def test_no_attempt_begins_without_a_search_that_was_repeated(self) -> None:
        for searches in (0, 1, 2):
            verdict = after(self.OLD, Pursuit(Kind.ATTEMPT, searches=searches), None)
            assert (state(verdict), step(verdict)) == (None, (Kind.FIND, 40.0))
        verdict = after(self.OLD, Pursuit(Kind.ATTEMPT, searches=3), None)
        assert (state(verdict), step(verdict)) == ("submitting", (Kind.SEND, 0.0))

    def test_an_unclear_search_is_no_reason_to_send(self) -> None:
        verdict = after(self.OLD, Pursuit(Kind.FIND, in_doubt=True), UNCLEAR)
        assert verdict.pursuit is not None
        assert verdict.pursuit.kind is Kind.FIND

    def test_one_miss_is_not_enough(self) -> None:
        assert step(after(self.OLD, Pursuit(Kind.FIND), NotFound())) == (Kind.FIND, 5.0)

    def test_no_hint_cuts_the_wait_short(self) -> None:
        assert not may_be_hastened(self.OLD, Pursuit(Kind.FIND, 40.0), moment("A"))


def test_the_age_of_a_call_that_was_never_seen_is_nothing() -> None:

    one = replace(lane("active"), active_since=UNSET)
    assert step(after(one, Pursuit(Kind.LOOK), Found(OURS))) == (Kind.LOOK, 0.2)


def test_an_answer_to_another_question_is_a_bug() -> None:
    with pytest.raises(TypeError, match="NotFound is no answer to send"):
        after(lane("submitting"), Pursuit(Kind.SEND), NotFound())
