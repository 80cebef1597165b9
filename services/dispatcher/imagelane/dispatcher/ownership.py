"""Whether this worker may speak for a lane: what the Kafka thread knows, for everybody to ask."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

Terms = Mapping[int, int]


def boot_seconds() -> float:
    """A clock that goes on while the machine, or this process, sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Ownership:
    """Written by the Kafka thread only; each field is replaced as a whole, so it can be read anywhere.

    `terms` has the partitions that are ours, each with the number of the assignment it came with: a
    partition that left and came back has another one. `hold_reason` stops all lanes.
    """

    session_seconds: float
    terms: Terms = field(default_factory=dict)
    polled_at: float = field(default_factory=boot_seconds)
    hold_reason: str = ""

    def doubt(self, partition: int, term: int, durable_at: float) -> str:
        """Why no byte may be sent for a partition's lane, or an empty string if it may.

        `durable_at`: when Kafka took the attempt's record, which is the last proof of membership.
        """
        if self.hold_reason:
            return self.hold_reason
        if self.terms.get(partition) != term:
            return "the partition is another worker's"
        if boot_seconds() - min(self.polled_at, durable_at) >= self.session_seconds / 2:
            return "the membership was not confirmed lately"
        return ""
