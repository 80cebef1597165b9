"""An operator's decision about a held lane, by the gateway, and what comes of it."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from imagelane.ops.client.core.answers import Lane, read
from imagelane.ops.client.core.lane_words import images
from imagelane.ops.client.gateway import Gateway, quoted
from imagelane.ops.client.patience import Sleep

LOOK_SECONDS: Final = 0.5
OVER: Final = frozenset({"completed", "partial", "failed", "refused", "empty", "ended"})


async def lane_of(api: Gateway, customer: str) -> Lane:
    """The customer's lane, with its last calls. Raises `GatewayError`."""
    return read(await api.get(f"/v1/lanes/{quoted(customer)}"), Lane)


async def release(
    api: Gateway,
    held: Lane,
    decision: str,
    note: str | None,
    *,
    seconds: float,
    sleep: Sleep = asyncio.sleep,
) -> str | None:
    """What came of the decision; None if nothing did within so many seconds. Raises `GatewayError`."""
    wanted = {"seq": seq_of(held), "decision": decision}
    body = msgspec.json.encode(wanted if note is None else {**wanted, "note": note})
    path = f"/v1/lanes/{quoted(held.customer_id)}/release"
    await api.send("POST", path, data=body, headers={"Content-Type": "application/json"})
    for _ in range(max(1, round(seconds / LOOK_SECONDS))):
        effect = effect_of(held, await lane_of(api, held.customer_id))
        if effect is not None:
            return effect
        await sleep(LOOK_SECONDS)
    return None


def seq_of(lane: Lane) -> int:
    """The number of the call at which the lane is held."""
    return lane.last_seq if lane.call is None else lane.call.seq


def effect_of(held: Lane, lane: Lane) -> str | None:
    """What the lane tells of the decision; None if it was not carried out yet."""
    seq = seq_of(held)
    ended = next((one for one in lane.calls if one.seq == seq and one.status in OVER), None)
    if ended is not None:
        return f"{images(ended.images)} of call {seq} ended as {ended.status}"
    if lane.state != "held":
        return f"call {seq} is under way again: {lane.state}"
    if lane.held_since != held.held_since:
        return f"call {seq} was tried again, and is held again: {lane.hold_reason}"
    return None
