"""How often a customer may hand in: so many at once, and then as many again in a minute, evenly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """One bucket per customer that handed in within the last minute; the others take no memory."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: dict[str, _Bucket] = {}
        self._swept_at = 0.0

    def wait_seconds(self, customer_id: str, now: float) -> float:
        """0 when the customer may hand in now, and then it counts; else how long to wait.

        `now` is of a clock that only goes on, in seconds.
        """
        self._sweep(now)
        per_second = self._per_minute / MINUTE_SECONDS
        bucket = self._buckets.setdefault(customer_id, _Bucket(self._per_minute, now))
        bucket.left = min(bucket.left + (now - bucket.at) * per_second, self._per_minute)
        bucket.at = now
        if bucket.left < 1:
            return (1 - bucket.left) / per_second
        bucket.left -= 1
        return 0.0

    def _sweep(self, now: float) -> None:
        if now - self._swept_at >= MINUTE_SECONDS:
            self._swept_at = now
            full = [
                one for one, bucket in self._buckets.items() if now - bucket.at >= MINUTE_SECONDS
            ]
            for one in full:
                del self._buckets[one]
