"""What people decide: cancel or delete a job, release a held lane. Each is a command in Kafka, or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from imagelane.contracts.commands import CancelJob, DeleteJob, ReleaseLane
from imagelane.contracts.fields import CallSeq, Reason
from imagelane.core.api_keys import Caller
from imagelane.gateway.answers import Commanded, json_answer
from imagelane.gateway.bodies import small_body
from imagelane.gateway.deliveries import Deliveries
from imagelane.gateway.looking import Looking
from imagelane.gateway.parameters import from_json
from imagelane.gateway.problems import Kind, Problem, not_found
from imagelane.gateway.settings import GatewaySettings
from imagelane.gateway.status import Status


class ReleaseWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall become of the call that the lane is held at."""

    seq: CallSeq
    decision: Literal["retry", "treat_as_done", "treat_as_failed"]
    note: Reason | UnsetType = UNSET


class Deciding:
    """Answers 202 when Kafka has the command; the services carry it out, and a repeated one does nothing more."""

    def __init__(
        self,
        settings: GatewaySettings,
        looking: Looking,
        status: Status,
        deliveries: Deliveries,
    ) -> None:
        self._settings = settings
        self._looking = looking
        self._status = status
        self._deliveries = deliveries

    async def cancel(self, request: web.Request, caller: Caller) -> web.Response:
        """`POST /v1/jobs/{job_id}/cancel`: images that are in no call yet will be in none."""
        job = await self._looking.find_job(request, caller)
        if job.status in {"finished", "refused"}:
            raise Problem(Kind.NOT_NOW, f"the job is {job.status}")
        command = CancelJob(
            customer_id=job.customer_id,
            job_id=job.job_id,
            decided_by=caller.signature,
            occurred_at=datetime.now(UTC),
        )
        return await self._command("cancel", command)

    async def delete(self, request: web.Request, caller: Caller) -> web.Response:
        """`DELETE /v1/jobs/{job_id}`: cancels it, and removes its list, originals and results."""
        job = await self._looking.find_job(request, caller)
        if job.status == "refused":
            raise Problem(Kind.NOT_NOW, "the job was refused: nothing of it is kept")
        command = DeleteJob(
            customer_id=job.customer_id,
            job_id=job.job_id,
            decided_by=caller.signature,
            occurred_at=datetime.now(UTC),
        )
        return await self._command("delete", command)

    async def release(self, request: web.Request, caller: Caller) -> web.Response:
        """`POST /v1/lanes/{customer_id}/release`, for operators."""
        customer_id = request.match_info["customer_id"]
        wanted = from_json(await small_body(request, self._settings), ReleaseWanted)
        queries = await self._status.queries()
        lane = await queries.lane(customer_id)
        if lane is None:
            raise not_found("lane")
        if lane.state != "held":
            raise Problem(Kind.NOT_NOW, f"the lane is not held but {lane.state}")
        held = lane.call.seq if lane.call is not None else lane.last_seq
        if wanted.seq != held:
            raise Problem(Kind.NOT_NOW, f"the lane is held at call {held}", field="seq")
        command = ReleaseLane(
            customer_id=customer_id,
            seq=wanted.seq,
            decision=wanted.decision,
            decided_by=caller.signature,
            occurred_at=datetime.now(UTC),
            note=wanted.note,
        )
        return await self._command("release", command)

    async def _command(
        self,
        name: Literal["cancel", "delete", "release"],
        command: CancelJob | DeleteJob | ReleaseLane,
    ) -> web.Response:
        await self._deliveries.command(command)
        answer = Commanded(
            command=name,
            customer_id=command.customer_id,
            decided_by=command.decided_by,
            decided_at=command.occurred_at,
            job_id=UNSET if isinstance(command, ReleaseLane) else command.job_id,
            seq=command.seq if isinstance(command, ReleaseLane) else UNSET,
        )
        return json_answer(answer, status=202)
