"""How all lanes stand, in numbers. Pure; its cost grows with lanes and their jobs, not with images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from imagelane.batcher.core.lane import Lane
from imagelane.batcher.core.lane_life import State
from imagelane.batcher.core.moment import Moment


@dataclass(slots=True)
class Census:
    """Sums over lanes; ages are those of the oldest, 0 where there is none."""

    lanes: Counter[State] = field(default_factory=Counter)
    unfinished_jobs: int = 0
    ready_images: int = 0
    requested_images: int = 0
    longest_ready_seconds: float = 0.0
    longest_request_seconds: float = 0.0

    def count(self, lanes: Iterable[Lane], now: Moment) -> None:
        """Adds lanes."""
        for lane in lanes:
            self.lanes[lane.state] += 1
            self.unfinished_jobs += len(lane.jobs)
            for job in lane.jobs.values():
                self.ready_images += len(job.ready)
                self.requested_images += len(job.held)
            if lane.waiting_since_seconds is not None:
                waited = now.seconds - lane.waiting_since_seconds
                self.longest_ready_seconds = max(self.longest_ready_seconds, waited)
            if lane.open is not None:
                age = (now.at - lane.open.event.occurred_at).total_seconds()
                self.longest_request_seconds = max(self.longest_request_seconds, age)
