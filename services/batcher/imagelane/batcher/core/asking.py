"""Requests for the next call: when, and with which images."""

from __future__ import annotations

from math import inf
from typing import Final

from imagelane.batcher.core.decisions import Decisions
from imagelane.batcher.core.lane import Lane, OpenRequest
from imagelane.batcher.core.lane_life import Move
from imagelane.batcher.core.moment import Moment
from imagelane.batcher.core.policy import Waiting, doubled
from imagelane.contracts.events import BatchRequested
from imagelane.contracts.image_sets import pack
from imagelane.contracts.parts import ReadyImages

UNLIMITED: Final = 2**31
MAX_REQUEST_BYTES: Final = 600_000
ENTRY_BYTES: Final = 400
"""What a job costs in a request besides its bitmap, at most: identity, names, ranges."""


def ask(lane: Lane, now: Moment, out: Decisions) -> float:
    """Sends the open request again when it is due, or opens a new one. Returns when to look again."""
    if lane.open is not None:
        return _repeat(lane.open, lane, now, out)
    images = sum(job.sendable for job in lane.jobs.values())
    if not images:
        _rest(lane)
        return inf
    if lane.waiting_since_seconds is None:
        lane.waiting_since_seconds = now.seconds
    if lane.state == "idle":
        lane.move(Move.FILL)
    moment = max(_moment_to_ask(lane, images), lane.busy_until_seconds)
    return moment if moment > now.seconds else _open(lane, now, out)


def _rest(lane: Lane) -> None:
    lane.waiting_since_seconds = None
    if lane.state == "gathering":
        lane.move(Move.DRAIN)
    elif lane.state == "warm" and not any(job.in_doubt for job in lane.jobs.values()):
        lane.move(Move.COOL)


def _moment_to_ask(lane: Lane, images: int) -> float:
    waiting = Waiting(
        images=images,
        since_seconds=lane.waiting_since_seconds or 0.0,
        warm=lane.state == "warm",
        some_job_is_fully_seen=any(
            job.is_fully_seen and job.sendable for job in lane.jobs.values()
        ),
        fruitless=lane.fruitless,
        answered_seconds=lane.answered_seconds,
    )
    return lane.rules.ask_at(waiting, lane.rules)


def _repeat(request: OpenRequest, lane: Lane, now: Moment, out: Decisions) -> float:
    if request.due_seconds <= now.seconds:
        lane.move(Move.SEND)
        out.events.append(request.event)
        wait = doubled(lane.rules.resend_after_seconds, request.tries)
        request.tries, request.due_seconds = request.tries + 1, now.seconds + wait
    return request.due_seconds


def _open(lane: Lane, now: Moment, out: Decisions) -> float:
    event = BatchRequested(
        customer_id=lane.customer_id,
        seq=lane.last_seq + 1,
        jobs=_take(lane),
        occurred_at=now.at,
    )
    lane.open = OpenRequest(event, due_seconds=now.seconds)
    lane.move(Move.ASK)
    lane.is_dirty, lane.waiting_since_seconds = True, None
    return _repeat(lane.open, lane, now, out)


def _take(lane: Lane) -> list[ReadyImages]:
    """What is ready, oldest job first, as far as the API's limits and one record allow."""
    limits = (lane.limit, lane.rules.max_images_per_call)
    allowed = min((one for one in limits if one is not None), default=UNLIMITED)
    taken: list[ReadyImages] = []
    room = MAX_REQUEST_BYTES
    for job in sorted(lane.jobs.values(), key=lambda job: (job.seen_at, job.job_id)):
        if not job.sendable:
            continue
        images = pack(job.take(allowed))
        allowed -= images.count
        room -= len(images.bitmap) + ENTRY_BYTES
        taken.append(
            ReadyImages(
                job_id=job.job_id,
                recipe=str(job.recipe),
                destination=str(job.destination),
                images=images,
            )
        )
        if allowed == 0 or room < 0:
            break
    return taken
