"""Whether a call takes far longer than the customer's calls usually take: a reason to alert, never to call again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core.lane import plan_of

WEIGHT_OF_THE_LAST: Final = 0.2


@dataclass(frozen=True, slots=True)
class Patience:
    """A call is overdue after `factor` times its usual time, which counts as `floor_seconds` at least."""

    factor: float
    floor_seconds: float


def allowed_seconds(lane: LaneRecorded, patience: Patience) -> float:
    """How long the lane's call may run before it is overdue.

    A call's time is some constant and something per image. So one that is larger than usual takes no
    longer than in proportion, and a smaller one no longer than usual: too early an alert is worthless.
    """
    usual = 0.0
    if lane.usual_seconds is not UNSET and lane.usual_images is not UNSET:
        growth = plan_of(lane).images / max(1.0, lane.usual_images)
        usual = lane.usual_seconds * max(1.0, growth)
    return patience.factor * max(patience.floor_seconds, usual)


def is_overdue(lane: LaneRecorded, patience: Patience, now: datetime) -> bool:
    """Whether the lane's active call has run for longer than is allowed."""
    return _running_seconds(lane, now) > allowed_seconds(lane, patience)


def having_learned(lane: LaneRecorded, patience: Patience, now: datetime) -> LaneRecorded:
    """The lane with its call's time and size smoothed in; the call has just ended.

    One call counts for at most what is allowed, however long it hung or far the clock jumped.
    """
    if lane.active_since is UNSET:
        return lane
    took = max(0.0, min(_running_seconds(lane, now), allowed_seconds(lane, patience)))
    return replace(
        lane,
        usual_seconds=_smoothed(lane.usual_seconds, took),
        usual_images=_smoothed(lane.usual_images, float(plan_of(lane).images)),
    )


def _running_seconds(lane: LaneRecorded, now: datetime) -> float:
    return 0.0 if lane.active_since is UNSET else (now - lane.active_since).total_seconds()


def _smoothed(so_far: object, last: float) -> float:
    if not isinstance(so_far, float):
        return last
    return round((1 - WEIGHT_OF_THE_LAST) * so_far + WEIGHT_OF_THE_LAST * last, 3)
