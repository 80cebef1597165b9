"""The steps at the external API: one task per lane in flight, so that no lane waits for another one's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from msgspec import UNSET

from imagelane.contracts.parts import CallPlan
from imagelane.dispatcher.batch_api import BatchApi, MayNotSendError, NewCall
from imagelane.dispatcher.core.answers import (
    Accepted,
    Denied,
    LookAnswer,
    StartAnswer,
    Unclear,
)
from imagelane.dispatcher.core.lane import plan_of
from imagelane.dispatcher.core.plan import (
    ChangedRequestError,
    Terms,
    body_of,
    urls_of,
)
from imagelane.dispatcher.core.step import Answer, Kind
from imagelane.dispatcher.errands import Errand, StepDone
from imagelane.dispatcher.failpoints import Failpoints
from imagelane.dispatcher.metrics import count_answer
from imagelane.dispatcher.ownership import Ownership
from imagelane.dispatcher.room import Room
from imagelane.dispatcher.spans import traceparent_of
from imagelane.platform.tracing import Tracing

MIN_LOOK_GAP_SECONDS: Final = 0.05
"""However many hints come, looks keep this distance."""
MAX_ANSWER_SECONDS: Final = 660.0
"""Longer than any time-out of the adapter `http`: for adapters that forgot theirs."""


@dataclass(slots=True)
class _Lane:
    errand: Errand
    task: asyncio.Task[None]
    hinted: asyncio.Event


@dataclass(frozen=True, slots=True)
class _SendGate:
    """Asks at the last moment whether the lane is still ours."""

    errand: Errand
    ownership: Ownership
    failpoints: Failpoints

    def before_bytes(self) -> None:
        """Raises `MayNotSendError` in any doubt."""
        errand = self.errand
        self.failpoints.reach("before_gate")
        doubt = self.ownership.doubt(errand.partition, errand.term, errand.durable_at)
        if doubt:
            raise MayNotSendError(doubt)
        self.failpoints.reach("behind_gate")

    def after_bytes(self) -> None:
        """All bytes are on their way."""
        self.failpoints.reach("after_bytes")


class Caller:
    """Does errands. `done` takes each one's end; `spawn` starts tasks whose failure ends the service."""

    tracing: Tracing | None = None
    """With it, the API is told of each call's trace."""

    def __init__(
        self,
        api: BatchApi,
        ownership: Ownership,
        terms: Terms,
        *,
        room: Room,
        failpoints: Failpoints,
        done: Callable[[StepDone], None],
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._api = api
        self._ownership = ownership
        self._terms = terms
        self._room = room
        self._failpoints = failpoints
        self._done = done
        self._spawn = spawn
        self._lanes: dict[str, _Lane] = {}
        self._attempts_allowed = asyncio.Event()
        self._log = structlog.get_logger("imagelane.caller")

    @property
    def sending(self) -> bool:
        """Whether a request for a new call is under way."""
        return any(lane.errand.pursuit.kind is Kind.SEND for lane in self._lanes.values())

    def begin(self, errand: Errand) -> None:
        """Does the errand from now on, and nothing else for its lane."""
        customer_id = errand.lane.customer_id
        before = self._lanes.get(customer_id)
        self.end(customer_id)
        hinted = asyncio.Event()
        if before is not None and before.hinted.is_set() and errand.pursuit.kind is Kind.LOOK:
            hinted.set()  # it came too late for the look before
        task = self._spawn(self._run(errand, hinted), name=f"lane {customer_id}")
        self._lanes[customer_id] = _Lane(errand, task, hinted)

    def end(self, customer_id: str) -> None:
        """Nothing more is to be done for the lane."""
        lane = self._lanes.pop(customer_id, None)
        if lane is not None:
            lane.task.cancel()

    def hint(self, customer_id: str) -> None:
        """The waiting step shall be done at once."""
        lane = self._lanes.get(customer_id)
        if lane is not None:
            lane.hinted.set()

    async def drop(self, partitions: Iterable[int]) -> None:
        """Ends whatever is done for lanes of these partitions, and waits until it has ended."""
        left = set(partitions)
        gone = [c for c, lane in self._lanes.items() if lane.errand.partition in left]
        tasks = [self._lanes[customer_id].task for customer_id in gone]
        for customer_id in gone:
            self.end(customer_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    def allow_attempts(self, allowed: bool) -> None:
        """Lets further attempts begin, or makes them wait; what is being sent goes on."""
        if allowed:
            self._attempts_allowed.set()
        else:
            self._attempts_allowed.clear()

    def end_all(self) -> None:
        """Ends everything."""
        for customer_id in list(self._lanes):
            self.end(customer_id)

    async def _run(self, errand: Errand, hinted: asyncio.Event) -> None:
        await self._wait(errand, hinted)
        began_at = asyncio.get_running_loop().time()
        answer = await self._answer(errand)
        if answer is not None:
            count_answer(errand.pursuit.kind, answer, asyncio.get_running_loop().time() - began_at)
        self._done(StepDone(errand, answer))

    async def _wait(self, errand: Errand, hinted: asyncio.Event) -> None:
        pursuit = errand.pursuit
        shortest = min(pursuit.after_seconds, MIN_LOOK_GAP_SECONDS)
        await asyncio.sleep(shortest)
        try:
            async with asyncio.timeout(pursuit.after_seconds - shortest):
                await hinted.wait()
        except TimeoutError:
            pass
        hinted.clear()
        if pursuit.kind is Kind.ATTEMPT:
            await self._attempts_allowed.wait()

    async def _answer(self, errand: Errand) -> Answer:
        try:
            match errand.pursuit.kind:
                case Kind.ATTEMPT:
                    return None
                case Kind.SEND:
                    return await self._send(errand)
                case _:
                    return await self._look(errand)
        except Exception as error:  # noqa: BLE001 # an adapter is foreign code, and must not harm other lanes
            self._log.exception("adapter.failed", customer_id=errand.lane.customer_id)
            return Unclear(f"the adapter failed: {type(error).__name__}")

    async def _look(self, errand: Errand) -> LookAnswer:
        async with asyncio.timeout(MAX_ANSWER_SECONDS):
            return await self._asked(errand)

    async def _asked(self, errand: Errand) -> LookAnswer:
        lane, pursuit = errand.lane, errand.pursuit
        if pursuit.kind is Kind.FIND:
            return await self._api.find_by_reference(lane.customer_id, plan_of(lane).reference)
        call_id = pursuit.foreign if pursuit.kind is Kind.WATCH else lane.call_id
        if pursuit.kind is Kind.WATCH:
            self._log.warning(
                "lane.waits_for_foreign_call", customer_id=lane.customer_id, call_id=call_id
            )
        if call_id is UNSET:
            raise ValueError("a lane without a call was to be looked at")
        return await self._api.look(lane.customer_id, call_id)

    async def _send(self, errand: Errand) -> StartAnswer:
        customer_id, plan = errand.lane.customer_id, plan_of(errand.lane)
        async with self._room.taken(plan.images):
            try:
                body = await asyncio.to_thread(body_of, customer_id, plan, self._terms)
            except ChangedRequestError as error:
                return Denied(str(error))
            call = NewCall(
                customer_id=customer_id,
                reference=plan.reference,
                body=body,
                urls=partial(urls_of, plan.jobs, self._terms, plan.planned_at),
                callback_url=None if plan.callback_url is UNSET else plan.callback_url,
                traceparent=await self._traceparent(customer_id, plan),
            )
            gate = _SendGate(errand, self._ownership, self._failpoints)
            async with asyncio.timeout(MAX_ANSWER_SECONDS):
                answer = await self._api.start(call, gate)
        if isinstance(answer, Accepted):
            self._failpoints.reach("after_2xx")
        return answer

    async def _traceparent(self, customer_id: str, plan: CallPlan) -> str | None:
        if self.tracing is None:
            return None
        return await asyncio.to_thread(traceparent_of, self.tracing, customer_id, plan)
