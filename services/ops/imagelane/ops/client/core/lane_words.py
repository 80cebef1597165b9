"""A lane in sentences: what its call does, until about when, and what comes after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import StatisticsError, linear_regression
from typing import Final

from imagelane.ops.client.core.answers import Call, Job, Lane
from imagelane.ops.durations import spoken

ENDED_WELL: Final = frozenset({"completed", "partial"})
FEW_CALLS: Final = 3


def at(moment: datetime, now: datetime) -> str:
    """`12:03:10 UTC`; with the day where that is not today's."""
    utc = moment.astimezone(UTC)
    day = "" if utc.date() == now.astimezone(UTC).date() else f"{utc:%Y-%m-%d} "
    return f"{day}{utc:%H:%M:%S} UTC"


def ago(moment: datetime, now: datetime) -> str:
    """`3.0 min ago`."""
    return f"{spoken(now - moment)} ago"


def lane_says(lane: Lane | None, now: datetime) -> str:
    """What the lane does now."""
    if lane is not None and lane.stands_still:
        return f"No lane sends anything, this one included: {lane.stands_still.rstrip('.')}. {_alone_says(lane, now)}"
    return _alone_says(lane, now)


def _alone_says(lane: Lane | None, now: datetime) -> str:
    if lane is None or lane.state == "idle" or lane.call is None:
        return "No call of this customer is under way."
    call = lane.call
    what = f"call {call.seq} with {images(call.images)}"
    if lane.state == "held":
        since = "" if lane.held_since is None else f" since {at(lane.held_since, now)}"
        return f"The lane is held at {what}{since}: {(lane.hold_reason or 'no reason is told').rstrip('.')}."
    if lane.state == "planned":
        return f"{what.capitalize()} is planned and about to be sent{_tries(call)}."
    if lane.state == "submitting":
        return f"{what.capitalize()} is being sent, and the batch API has not said yet that it has it{_tries(call)}."
    if lane.state != "active":
        return f"The lane is {lane.state} with {what}."
    return (
        f"The lane is busy with {what}{_named(call)}{_since(call, now)}{_until(lane, call, now)}."
    )


def lane_goes_on(lane: Lane | None) -> str:
    """What the lane does next."""
    if lane is None or lane.state == "idle" or lane.call is None:
        return (
            "The next call goes out when enough images are ready, or all of a job are, or after some seconds;"
            " how many are enough is a setting of the batcher (100 unless it was changed)."
        )
    if lane.state == "held":
        return (
            f"No other call goes out before the hold ends: by itself, where the reason says so,"
            f" or when an operator decides: `imagelane lanes release {lane.customer_id}`."
        )
    return "When it has ended, the next call takes everything that is ready by then, as far as the API's limits allow."


def expected_seconds(lane: Lane, call: Call) -> float | None:
    """How long such a call takes, judged by the customer's last ones; None where there is nothing to judge by.

    A constant and something per image, if the last calls had different sizes; else what is usual, in proportion.
    """
    sizes, seconds = [], []
    for one in lane.calls:
        if one.status in ENDED_WELL and one.started_at and one.ended_at:
            sizes.append(float(one.images))
            seconds.append((one.ended_at - one.started_at).total_seconds())
    if len(sizes) >= FEW_CALLS:
        try:
            slope, constant = linear_regression(sizes, seconds)
        except StatisticsError:  # all of one size
            slope, constant = 0.0, sum(seconds) / len(seconds)
        if slope >= 0:
            return max(constant + slope * call.images, 0.0)
    if lane.usual_seconds is None:
        return None
    growth = call.images / max(lane.usual_images or call.images, 1.0)
    return lane.usual_seconds * max(growth, 1.0)


def images(count: int) -> str:
    """`1 image`, `2,000 images`."""
    return "1 image" if count == 1 else f"{count:,} images"


def requested(job: Job) -> str:
    """`700 of 2,000 images`."""
    if job.images is None:
        return images(job.counts.requested)
    return f"{job.counts.requested:,} of {images(job.images)}"


def _tries(call: Call) -> str:
    return f", after {call.attempts} attempts" if call.attempts > 1 else ""


def _named(call: Call) -> str:
    return "" if call.call_id is None else f" ({call.call_id} at the batch API)"


def _since(call: Call, now: datetime) -> str:
    return "" if call.started_at is None else f", which began {ago(call.started_at, now)}"


def _until(lane: Lane, call: Call, now: datetime) -> str:
    if lane.overdue_since is not None:
        return ", takes far longer than this customer's calls usually do, and is asked about again and again"
    seconds = expected_seconds(lane, call)
    if seconds is None or call.started_at is None:
        return "; how long it takes nobody can tell yet, for there is no earlier call to judge by"
    end = call.started_at + timedelta(seconds=seconds)
    if end <= now:
        return f" and, judged by earlier calls, should have ended at about {at(end, now)}"
    return f" and, judged by earlier calls, ends at about {at(end, now)}"
