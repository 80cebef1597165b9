"""Steps at the API: one lane never waits for another one, and nothing is done for a lane that has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from msgspec.structs import replace as with_fields
from tests.unit.dispatcher.conftest import ACME, JOB, TERMS, lane, url
from tests.unit.dispatcher.test_call_spans import Recorded
from tests.waiting import eventually

from imagelane.contracts.codec import Trace
from imagelane.dispatcher.batch_api import Gate, MayNotSendError, NewCall
from imagelane.dispatcher.caller import Caller
from imagelane.dispatcher.core.answers import (
    Accepted,
    Call,
    CallStatus,
    Denied,
    Found,
    LookAnswer,
    NotFound,
    StartAnswer,
    Unclear,
)
from imagelane.dispatcher.core.lane import State
from imagelane.dispatcher.core.step import Kind, Pursuit
from imagelane.dispatcher.errands import Errand, StepDone
from imagelane.dispatcher.failpoints import Failpoints
from imagelane.dispatcher.ownership import Ownership, boot_seconds
from imagelane.dispatcher.room import Room

ACTIVE = Call("b-1", CallStatus.ACTIVE)


@dataclass
class FakeApi:
    """Does what a test says, and remembers what it was asked."""

    asked: list[str] = field(default_factory=list)
    slow: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    broken: bool = False
    open: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[NewCall] = field(default_factory=list)

    async def start(self, call: NewCall, gate: Gate) -> StartAnswer:
        await self._ask(f"start {call.customer_id}", call.customer_id)
        gate.before_bytes()
        self.sent.append(call)
        gate.after_bytes()
        return Accepted(ACTIVE)

    async def look(self, customer_id: str, call_id: str) -> LookAnswer:
        await self._ask(f"look {call_id}", customer_id)
        return Found(ACTIVE)

    async def find_by_reference(self, customer_id: str, reference: str) -> LookAnswer:
        await self._ask(f"find {reference[:3]}", customer_id)
        return NotFound()

    async def close(self) -> None:
        pass

    async def _ask(self, what: str, customer_id: str) -> None:
        self.asked.append(what)
        if self.broken:
            raise RuntimeError("a bug of the adapter")
        if customer_id in self.slow:
            try:
                await self.open.wait()
            finally:
                await asyncio.sleep(0)  # as connections do that end in order
                self.ended.append(customer_id)


@dataclass
class Scene:
    api: FakeApi
    ownership: Ownership
    caller: Caller
    done: list[StepDone]

    async def ended(self, count: int = 1) -> list[StepDone]:
        await eventually(lambda: len(self.done) >= count)
        return self.done


@asynccontextmanager
async def scene(failpoints: Failpoints | None = None) -> AsyncIterator[Scene]:
    done: list[StepDone] = []
    api, ownership = FakeApi(), Ownership(10.0, terms={0: 1, 1: 1})
    async with asyncio.TaskGroup() as tasks:
        caller = Caller(
            api,
            ownership,
            TERMS,
            room=Room(20),
            failpoints=failpoints or Failpoints(),
            done=done.append,
            spawn=tasks.create_task,
        )
        caller.allow_attempts(True)
        yield Scene(api, ownership, caller, done)
        caller.end_all()


def errand(
    pursuit: Pursuit, state: State, customer: str = ACME, partition: int = 0, term: int = 1
) -> Errand:
    return Errand(partition, term, lane(state, customer=customer), pursuit, boot_seconds())


def sending(customer: str = ACME) -> Errand:
    return errand(Pursuit(Kind.SEND), "submitting", customer)


LOOKING = Pursuit(Kind.LOOK, 30.0)


IMAGES = [Trace.of_image(ACME, JOB, index) for index in range(10)]


@pytest.mark.parametrize(
    ("unsampled", "flags"),
    [
        ([], "01"),
        ([Trace.of_call(ACME, 1), *IMAGES[1:]], "01"),
        ([Trace.of_call(ACME, 1), *IMAGES], "00"),
    ],
)
async def test_with_traces_the_api_is_told_of_the_call_s_and_whether_it_is_recorded(
    unsampled: list[Trace], flags: str
) -> None:
    async with scene() as s:
        for tracing in (None, Recorded(frozenset(one.trace_id for one in unsampled))):
            s.caller.tracing = tracing
            s.done.clear()
            s.caller.begin(sending())
            await s.ended()
        without, told = s.api.sent
    trace = Trace.of_call(ACME, 1)
    assert without.traceparent is None
    assert told.traceparent == f"00-{trace.trace_id}-{trace.anchor}-{flags}"


async def test_each_kind_of_step_asks_its_question() -> None:
    async with scene() as s:
        for pursuit, state in (
            (Pursuit(Kind.ATTEMPT), "planned"),
            (Pursuit(Kind.SEND), "submitting"),
            (Pursuit(Kind.FIND), "submitting"),
            (Pursuit(Kind.LOOK), "active"),
            (Pursuit(Kind.WATCH, foreign="b-9"), "planned"),
        ):
            s.done.clear()
            one = errand(pursuit, state)  # type: ignore[arg-type] # mypy widens the tuple's strings
            s.caller.begin(one)
            (end,) = await s.ended()
            assert end.errand is one
        assert s.api.asked == ["start acme", "find v1-", "look b-1", "look b-9"]
        (call,) = s.api.sent
        assert list(call.urls()) == [url(index) for index in range(10)]
        assert call.callback_url == TERMS.callback_url


async def test_a_slow_request_holds_nobody_else_up() -> None:
    async with scene() as s:
        s.api.slow = {"slow"}
        s.caller.begin(sending("slow"))
        s.caller.begin(sending("quick"))
        (end,) = await s.ended()
        assert end.errand.lane.customer_id == "quick"
        assert s.caller.sending
        s.api.open.set()
        await s.ended(2)


async def test_only_so_many_images_are_on_their_way_at_once() -> None:
    async with scene() as s:
        s.api.slow = {"a", "b", "c"}
        for customer in ("a", "b", "c"):
            s.caller.begin(sending(customer))
        await eventually(lambda: len(s.api.asked) >= 2)
        await asyncio.sleep(0.05)
        assert len(s.api.asked) == 2
        s.api.open.set()
        await s.ended(3)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: setattr(s.ownership, "terms", {}),
        lambda s: setattr(s.ownership, "terms", {0: 2}),
        lambda s: setattr(s.ownership, "hold_reason", "12 partitions"),
        lambda s: setattr(s.ownership, "polled_at", boot_seconds() - 6),
    ],
)
async def test_nothing_is_sent_in_doubt_about_ownership(change: Callable[[Scene], None]) -> None:
    async with scene() as s:
        change(s)
        s.caller.begin(sending())
        (end,) = await s.ended()
        assert isinstance(end.answer, Unclear)  # this adapter lets the gate's refusal through
        assert s.api.sent == []


async def test_an_attempt_that_became_durable_long_ago_is_not_sent() -> None:
    async with scene() as s:
        s.caller.begin(replace(sending(), durable_at=boot_seconds() - 6))
        await s.ended()
        assert s.api.sent == []


async def test_a_request_whose_settings_have_changed_is_not_sent() -> None:
    async with scene() as s:
        plan = with_fields(lane("submitting").plan, body_sha256="0" * 64)  # type: ignore[type-var] # a busy lane has one
        s.caller.begin(replace(sending(), lane=with_fields(lane("submitting"), plan=plan)))
        (end,) = await s.ended()
        assert isinstance(end.answer, Denied)
        assert s.api.asked == []


async def test_a_failing_adapter_gives_an_unclear_answer() -> None:
    async with scene() as s:
        s.api.broken = True
        s.caller.begin(sending())
        (end,) = await s.ended()
        assert end.answer == Unclear("the adapter failed: RuntimeError")


async def test_attempts_wait_while_they_are_not_allowed() -> None:
    async with scene() as s:
        s.caller.allow_attempts(False)
        s.caller.begin(errand(Pursuit(Kind.ATTEMPT), "planned"))
        s.caller.begin(errand(Pursuit(Kind.LOOK), "active", "other"))
        (end,) = await s.ended()
        assert end.errand.lane.customer_id == "other"
        await asyncio.sleep(0.1)
        assert len(s.done) == 1
        s.caller.allow_attempts(True)
        await s.ended(2)


async def test_a_hint_cuts_the_wait_short() -> None:
    async with scene() as s:
        s.caller.begin(errand(LOOKING, "active"))
        s.caller.hint("nobody")
        s.caller.hint(ACME)
        (end,) = await s.ended()
        assert end.answer == Found(ACTIVE)


async def test_a_hint_during_a_look_causes_another_one() -> None:
    async with scene() as s:
        s.api.slow = {ACME}
        s.caller.begin(errand(Pursuit(Kind.LOOK), "active"))
        await eventually(lambda: s.api.asked)
        s.caller.hint(ACME)
        s.api.open.set()
        await s.ended()
        s.caller.begin(errand(LOOKING, "active"))
        await s.ended(2)


async def test_a_hint_does_not_hasten_what_follows_a_search() -> None:
    async with scene() as s:
        s.api.slow = {ACME}
        s.caller.begin(errand(Pursuit(Kind.FIND), "submitting"))
        s.caller.hint(ACME)
        s.api.open.set()
        await s.ended()
        s.caller.begin(errand(Pursuit(Kind.ATTEMPT, 30.0), "submitting"))
        await asyncio.sleep(0.1)
        assert len(s.done) == 1


async def test_what_is_done_for_partitions_that_leave_ends() -> None:
    async with scene() as s:
        s.caller.begin(errand(LOOKING, "active", "leaves", partition=0))
        s.caller.begin(errand(LOOKING, "active", "stays", partition=1))
        await s.caller.drop({0})
        s.caller.hint("leaves")
        s.caller.hint("stays")
        (end,) = await s.ended()
        assert end.errand.lane.customer_id == "stays"
        s.caller.end("leaves")  # again, harmlessly


async def test_partitions_leave_only_when_nothing_is_done_for_them_any_more() -> None:
    async with scene() as s:
        s.api.slow.add("leaves")
        s.caller.begin(errand(Pursuit(Kind.LOOK), "active", "leaves", partition=0))
        await eventually(lambda: s.api.asked)
        await s.caller.drop({0})
        assert s.api.ended == ["leaves"]


async def test_a_new_errand_takes_the_old_ones_place() -> None:
    async with scene() as s:
        s.caller.begin(errand(Pursuit(Kind.LOOK, 0.1), "active"))
        s.caller.begin(errand(Pursuit(Kind.FIND), "submitting"))
        (end,) = await s.ended()
        assert end.answer == NotFound()
        await asyncio.sleep(0.3)  # the old one would have been done by now
        assert s.api.asked == ["find v1-"]


async def test_the_gate_names_its_doubt() -> None:
    ownership = Ownership(10.0, terms={0: 1})
    now = boot_seconds()
    assert ownership.doubt(0, 1, now) == ""
    assert "another worker" in ownership.doubt(0, 2, now)
    assert "another worker" in ownership.doubt(3, 1, now)
    assert "not confirmed" in ownership.doubt(0, 1, now - 5.1)
    ownership.hold_reason = "12 partitions"
    assert ownership.doubt(0, 1, now) == "12 partitions"


def test_a_failpoint_that_is_not_armed_does_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    Failpoints().reach("after_plan")
    Failpoints("after_plan", marker).reach("after_2xx")
    Failpoints("after_plan", marker).reach(None)
    assert not marker.exists()
    marker.touch()
    Failpoints("after_plan", marker).reach("after_plan")  # it has worked once: this process lives


def test_may_not_send_is_no_answer_of_the_api() -> None:
    assert not issubclass(MayNotSendError, (OSError, ValueError))


async def test_room_is_given_in_the_order_of_asking() -> None:
    room, entered = Room(10), []
    leave = {name: asyncio.Event() for name in ("some", "all", "few")}

    async def enter(name: str, units: int) -> None:
        async with room.taken(units):
            entered.append(name)
            await leave[name].wait()

    async with asyncio.TaskGroup() as tasks:
        for name, units in (("some", 6), ("all", 1_000), ("few", 1)):
            tasks.create_task(enter(name, units))
            await asyncio.sleep(0)
        await eventually(lambda: entered == ["some"])
        leave["some"].set()
        await eventually(lambda: entered == ["some", "all"])
        leave["all"].set()
        await eventually(lambda: entered == ["some", "all", "few"])
        leave["few"].set()
