"""Lanes as the gateway tells of them, in the shape in which they are shown."""

from __future__ import annotations

from datetime import datetime

from imagelane.ops.client.core.answers import Lane, read
from imagelane.ops.client.gateway import Gateway, quoted
from imagelane.ops.lanes import LaneView, in_order


async def lanes_of(api: Gateway, customer: str | None) -> list[LaneView]:
    """Every lane that the key shows, or one. Raises `GatewayError`."""
    if customer is not None:
        return [view_of(read(await api.get(f"/v1/lanes/{quoted(customer)}"), Lane))]
    return in_order([view_of(read(one, Lane)) async for one in api.items("/v1/lanes")])


def view_of(lane: Lane) -> LaneView:
    """What is shown of a lane."""
    call = lane.call
    return LaneView(
        customer_id=lane.customer_id,
        state=lane.state,
        seq=lane.last_seq,
        images=0 if call is None else call.images,
        since=_since(lane),
        attempts=0 if call is None else call.attempts,
        hold_reason=lane.hold_reason,
        overdue_since=lane.overdue_since,
        usual_seconds=lane.usual_seconds,
        call_id=None if call is None else call.call_id,
        reference=None if call is None else call.reference,
        ready=lane.ready,
        open_jobs=lane.open_jobs,
        stands_still=lane.stands_still,
    )


def _since(lane: Lane) -> datetime | None:
    call = lane.call
    times = {"held": lane.held_since}
    if call is not None:
        times["active"] = call.started_at
        times["submitting"] = call.first_attempt_at
        times["planned"] = call.planned_at
    return times.get(lane.state) or lane.changed_at
