"""However often a plan is sent, its key and its bytes are the same."""

from __future__ import annotations

import asyncio

from tests.unit.dispatcher.conftest import LATER, TERMS, lane

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.batch_api import Gate, NewCall
from imagelane.dispatcher.caller import Caller
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.answers import LookAnswer, NotFound, StartAnswer, Unclear
from imagelane.dispatcher.core.step import Kind, Pursuit
from imagelane.dispatcher.errands import Errand, StepDone
from imagelane.dispatcher.failpoints import Failpoints
from imagelane.dispatcher.ownership import Ownership, boot_seconds
from imagelane.dispatcher.room import Room


class Listener:
    """An API that answers nothing clearly, and remembers what it was sent."""

    def __init__(self) -> None:
        self.calls: list[NewCall] = []

    async def start(self, call: NewCall, gate: Gate) -> StartAnswer:
        gate.before_bytes()
        self.calls.append(call)
        return Unclear("no answer came")

    async def look(self, _customer_id: str, _call_id: str) -> LookAnswer:
        return NotFound()

    async def find_by_reference(self, _customer_id: str, _reference: str) -> LookAnswer:
        return NotFound()

    async def close(self) -> None:
        """There is nothing to close."""


async def test_every_attempt_has_the_plans_key_and_bytes() -> None:
    api, done = Listener(), asyncio.Queue[StepDone]()
    first = lane("submitting")
    second = lanes.attempt(first, LATER, in_doubt=True)
    assert first.attempts < second.attempts
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        ownership = Ownership(60.0, terms={0: 1})
        caller = Caller(
            api,
            ownership,
            TERMS,
            room=Room(1_000),
            failpoints=Failpoints(),
            done=done.put_nowait,
            spawn=tasks.create_task,
        )
        for one in (first, second):
            caller.begin(errand(one))
            await done.get()
    assert len(api.calls) == 2
    assert {(call.reference, call.body) for call in api.calls} == {
        (api.calls[0].reference, api.calls[0].body)
    }


def errand(of: LaneRecorded) -> Errand:
    return Errand(0, 1, of, Pursuit(Kind.SEND), boot_seconds())
