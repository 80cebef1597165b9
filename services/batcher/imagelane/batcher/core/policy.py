"""When a lane asks for its next call, and how large the call may be. Pure functions behind names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from imagelane.contracts.events import MAX_LIST_LINES

LONGEST_BACKOFF_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a lane without an open request has to offer.

    `images` are ready, of all the customer's jobs; the oldest has been so since `since_seconds`.
    `warm`: a call has just ended and images were waiting. `fruitless`: how many calls in a row
    decided nothing, though the API asked for no smaller ones; the last of them at `answered_seconds`.
    """

    images: int
    since_seconds: float
    warm: bool
    some_job_is_fully_seen: bool
    fruitless: int = 0
    answered_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decisions depend on."""

    ask_at: CallPolicy
    first_call_images: int
    linger_seconds: float
    resend_after_seconds: float
    stalled_after_seconds: float
    sweep: bool
    retention: timedelta
    max_images_per_call: int | None = None
    max_finished_jobs: int = 100_000
    """So many markers of finished jobs a lane keeps."""
    max_parts: int = 64
    """So many records a job may have in the table before one is written that replaces them."""


CallPolicy = Callable[[Waiting, Rules], float]
"""The moment, in seconds of the growing clock, from which the lane asks. It may lie in the past."""


def first_full(waiting: Waiting, rules: Rules) -> float:
    """A warm lane asks at once; a cold one when enough is ready, a job is fully seen, or after a while.

    After a fruitless call it waits longer each time, so that nobody's API is hammered in vain.
    """
    at = waiting.since_seconds
    enough = waiting.images >= rules.first_call_images
    if not (waiting.warm or enough or waiting.some_job_is_fully_seen):
        at += rules.linger_seconds
    if waiting.fruitless:
        backoff = min(2.0 ** (waiting.fruitless - 1), LONGEST_BACKOFF_SECONDS)
        at = max(at, waiting.answered_seconds + backoff)
    return at


POLICIES: Final[dict[str, CallPolicy]] = {"first-full": first_full}


def limit_after(limit: int | None, hint: int | None) -> int | None:
    """How many images the next call may have, after a call ended with this hint of the API, or none.

    Each call without a hint doubles the limit, until there is none again: one image that the API
    refuses must not make every later call small.
    """
    if hint is not None:
        return hint
    if limit is None or limit * 2 > MAX_LIST_LINES:
        return None
    return limit * 2


def doubled(seconds: float, times: int) -> float:
    """A wait that doubles with each time, at most 64-fold."""
    return float(seconds * 2 ** min(times, 6))
