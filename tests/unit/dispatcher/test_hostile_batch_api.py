"""Whatever the API answers, whenever: each lane comes to one of the documented outcomes, and no other lane notices.

The whole way is real but for Kafka: drafts, steps, the adapter `http`, and a server on loopback that answers
with every status, every body, at once, never, or only to the second attempt.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from tests.unit.dispatcher.conftest import NOW, TERMS, members, policy, ready, requested

from imagelane.contracts.events import CallCompleted
from imagelane.dispatcher.batch_api import NewCall
from imagelane.dispatcher.core.answers import Unclear, Unsent
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.lane import plan_of
from imagelane.dispatcher.core.plan import body_of
from imagelane.dispatcher.core.policy import Capabilities
from imagelane.dispatcher.core.step import Answer, Kind, Pursuit
from imagelane.dispatcher.http_batch_api import LARGE_ANSWERS, HttpBatchApi
from imagelane.dispatcher.settings import BatchApiSettings

pytestmark = pytest.mark.slow

STATUSES = (200, 202, 204, 302, 400, 401, 404, 409, 422, 429, 500, 503)
BODIES = ("right", "empty", "other json", "html", "truncated", "endless")
DELAYS = ("none", "beyond the time-out", "after a retry")
LEVELS: tuple[Capabilities, ...] = ("A", "B", "C", "D")
PATIENCE_SECONDS = 60.0
HASTE_SECONDS = 2.0
ATTEMPTS = 2
STEPS = 60
HEALTHY = "healthy"
MIB = 1024**2

Outcome = Literal["completed", "refused", "held", "in doubt", "later"]


@dataclass(frozen=True)
class Cell:
    """What the API does to the customer of this name."""

    level: Capabilities
    status: int
    body: str
    delay: str

    @property
    def customer(self) -> str:
        return f"{self.level}|{self.status}|{self.body}|{self.delay}"

    @classmethod
    def of(cls, customer: str) -> Cell:
        level, status, body, delay = customer.split("|")
        return cls(level, int(status), body, delay)  # type: ignore[arg-type] # one of the LEVELS

    def hangs(self, attempt: int) -> bool:
        """Whether this attempt, counted from 1, gets no answer in time."""
        return self.delay == "beyond the time-out" or (
            self.delay == "after a retry" and attempt == 1
        )

    @property
    def attempt_says(self) -> str:
        """What the decisive attempt tells, by the table in `docs/lanes.md`."""
        if self.delay == "beyond the time-out":
            return "nothing"
        if self.status in (200, 202):
            return "accepted" if self.body == "right" else "nothing"
        by_status = {429: "later", 409: "busy", 503: "later"}
        refused = dict.fromkeys((400, 422), "refused")
        denied = dict.fromkeys((302, 401, 404), "denied")
        return {**by_status, **refused, **denied}.get(self.status, "nothing")

    @property
    def outcome(self) -> Outcome:
        """What must become of the lane."""
        if self.level == "D" and (self.delay != "none" or self.attempt_says == "nothing"):
            return "held"  # nobody can be asked
        in_doubt = self.delay == "after a retry"
        outcomes: dict[str, Outcome] = {
            "accepted": "completed",
            "refused": "held" if in_doubt else "refused",
            "denied": "held",
            "later": "in doubt" if in_doubt else "later",
            "busy": "in doubt" if in_doubt else "later",
            "nothing": "in doubt",
        }
        return outcomes[self.attempt_says]


@dataclass
class Api:
    """Answers a customer's POSTs as its cell says; its lists are empty; its batches are completed."""

    posts: defaultdict[str, list[tuple[str, bytes]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    async def post(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        customer = (await request.json())["customer"]
        posts = self.posts[customer]
        posts.append((request.headers["Idempotency-Key"], raw))
        right = f'{{"id": "{customer}", "customer": "{customer}", "status": "active"}}'.encode()
        if customer == HEALTHY:
            return web.Response(body=right, status=202)
        cell = Cell.of(customer)
        if cell.hangs(len(posts)):
            await asyncio.sleep(600)
        headers = {"Retry-After": "1"} if cell.status == 503 else {}
        response = web.StreamResponse(status=cell.status, headers=headers)
        await self._write(request, response, cell, right)
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, cell: Cell, right: bytes
    ) -> None:
        whole = {
            "right": right,
            "empty": b"",
            "other json": b'[{"id": 3}]',
            "html": b"<html>It works!</html>",
        }
        if cell.status == 204 or cell.body in whole:
            body = b"" if cell.status == 204 else whole[cell.body]
            response.content_length = len(body)
            await response.prepare(request)
            await response.write(body)
        elif cell.body == "truncated":
            response.content_length = len(right)
            await response.prepare(request)
            await response.write(right[:-10])
            assert request.transport is not None
            request.transport.close()
        else:
            await response.prepare(request)
            while True:
                await response.write(b" " * 4_096)

    async def list(self, _request: web.Request) -> web.Response:
        return web.json_response({"batches": []})

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["id"], "status": "completed"})

    @asynccontextmanager
    async def serving(self, **changes: Any) -> AsyncIterator[tuple[HttpBatchApi, HttpBatchApi]]:
        """Two adapters to it: a patient one, and a hasty one for what hangs."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/batches", self.post),
                web.get("/v1/batches", self.list),
                web.get("/v1/batches/{id}", self.get),
            ]
        )
        async with TestServer(app) as server:
            quick: dict[str, Any] = {
                "look_seconds": PATIENCE_SECONDS,
                "max_answer_bytes": 8_192,
                "max_connections": 2_000,
            }
            url = str(server.make_url("/v1"))
            patient, hasty = (
                HttpBatchApi(
                    BatchApiSettings(base_url=url, start_seconds=seconds, **{**quick, **changes})
                )
                for seconds in (PATIENCE_SECONDS, HASTE_SECONDS)
            )
            try:
                yield patient, hasty
            finally:
                await patient.close()
                await hasty.close()


class OpenGate:
    def before_bytes(self) -> None:
        pass

    def after_bytes(self) -> None:
        pass


@dataclass
class Customer:
    """One customer's lane of two images; its waits are skipped, its answers are real."""

    name: str
    level: Capabilities
    patient: HttpBatchApi
    hasty: HttpBatchApi
    book: Book = field(default_factory=Book)
    told: list[Any] = field(default_factory=list)
    attempts: int = 0

    async def run(self) -> Outcome:
        draft = self.draft()
        draft.request(replace(requested(1, ready([0, 1])), customer_id=self.name))
        draft.apply()
        for _ in range(STEPS):
            pursuit = self.book.pursuits.get(self.name)
            state = self.book.lanes[self.name].state
            gives_up = self.attempts == ATTEMPTS and state in ("planned", "submitting")
            if pursuit is None or state == "held" or gives_up:
                break
            draft = self.draft()
            draft.step_done(self.name, pursuit, await self.answer(pursuit))
            draft.apply()
            self.told += draft.told
        return self.outcome()

    def draft(self) -> Draft:
        return Draft(self.book, TERMS, policy(self.level), NOW, lambda: 0.5)

    async def answer(self, pursuit: Pursuit) -> Answer:
        lane = self.book.lanes[self.name]
        plan = plan_of(lane)
        match pursuit.kind:
            case Kind.ATTEMPT:
                return None
            case Kind.SEND:
                body = body_of(self.name, plan, TERMS)
                new = NewCall(self.name, plan.reference, body, lambda: iter(()))
                answer = await self.adapter.start(new, OpenGate())
                self.attempts += not isinstance(answer, Unsent)  # a slow machine is no answer
                return answer
            case Kind.FIND:
                return await self.patient.find_by_reference(self.name, plan.reference)
            case _:
                return await self.patient.look(self.name, pursuit.foreign or str(lane.call_id))

    @property
    def adapter(self) -> HttpBatchApi:
        hangs = self.name != HEALTHY and Cell.of(self.name).hangs(self.attempts + 1)
        return self.hasty if hangs else self.patient

    def outcome(self) -> Outcome:
        lane = self.book.lanes[self.name]
        if lane.state == "held":
            assert lane.hold_reason
            return "held"
        if lane.state == "planned":
            return "later"
        if lane.state == "submitting":
            return "in doubt"
        (told,) = self.told
        assert isinstance(told, CallCompleted)
        (job,) = told.jobs
        if told.status == "completed":
            assert members(job.delivered) == [0, 1]
            return "completed"
        assert told.status == "refused"
        assert (members(job.returned), told.max_images) == ([0, 1], 1)
        return "refused"


async def test_every_status_with_every_body_at_any_time_leads_to_a_documented_outcome() -> None:
    cells = [Cell(*case) for case in product(LEVELS, STATUSES, BODIES, DELAYS)]
    api = Api()
    async with api.serving() as adapters:
        customers = [Customer(cell.customer, cell.level, *adapters) for cell in cells]
        healthy = Customer(HEALTHY, "A", *adapters)
        *outcomes, well = await asyncio.gather(*(one.run() for one in [*customers, healthy]))
    wrong = {
        cell.customer: (outcome, cell.outcome)
        for cell, outcome in zip(cells, outcomes, strict=True)
        if outcome != cell.outcome
    }
    assert wrong == {}
    assert well == "completed"
    assert {len(set(posts)) for posts in api.posts.values()} == {1}  # one key, the same bytes


async def test_endless_answers_to_many_lanes_take_little_memory() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(80):
            await response.write(b" " * 65_536)
        return response

    api = Api()
    api.get = endless  # type: ignore[assignment,method-assign] # what it does with this test's GETs
    looks, limit = 24, 4 * MIB
    tracemalloc.start()
    try:
        async with api.serving(max_answer_bytes=limit) as (adapter, _):
            answers = await asyncio.gather(*(adapter.look("acme", f"b-{n}") for n in range(looks)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {type(answer) for answer in answers} == {Unclear}
    small = looks * 0.75 * MIB  # what is read before an answer counts as large, with buffers
    assert peak < 2 * LARGE_ANSWERS * limit + small < looks * limit
