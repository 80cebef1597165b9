"""When to look next, and when to try again."""

from __future__ import annotations

from dataclasses import dataclass

SHARE_OF_AGE = 0.1


@dataclass(frozen=True, slots=True)
class Bounds:
    """The shortest and the longest wait, in seconds."""

    min_seconds: float
    max_seconds: float


def look_delay(age_seconds: float, bounds: Bounds) -> float:
    """Seconds until the next look at a call of this age: quick at first, then a tenth of the age.

    So a poll adds at most a tenth to how long a call seems to take. A clock that went back
    makes the age negative, which only means an early look.
    """
    return min(bounds.max_seconds, max(bounds.min_seconds, SHARE_OF_AGE * age_seconds))


def back_off(failures: int, luck: float, bounds: Bounds) -> float:
    """Seconds until the next try after so many failures in a row: exponential, with full jitter.

    `luck` is a random number from 0 to 1.
    """
    doublings = min(failures - 1, 30)  # 2**30 of anything is beyond the longest wait
    return luck * min(bounds.max_seconds, bounds.min_seconds * 2.0**doublings)
