"""Back-pressure: how many more requests each partition may take before the downloader has read on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What had been delivered when a reading of the lag began."""

    delivered: Counter[int]


class Room:
    """Keeps the unread records of every partition within `max_unread`, between readings too.

    What was delivered before a reading began is part of the lag that it brings; everything else
    that was granted is added to it. So for one intake the bound is never exceeded, and several
    ones exceed it by no more than what the others send between two readings. Before the first
    reading there is no room.
    """

    def __init__(self, max_unread: int) -> None:
        self._max_unread = max_unread
        self._granted: Counter[int] = Counter()
        self._delivered: Counter[int] = Counter()
        self._delivered_before: Counter[int] = Counter()
        self._lag: Mapping[int, int] | None = None

    def grant(self, partitions: Sequence[int]) -> int:
        """How many of these records, from the first, fit now. They count as sent from here on."""
        wanted: Counter[int] = Counter()
        fitting = 0
        for partition in partitions:
            if wanted[partition] >= self.free(partition):
                break
            wanted[partition] += 1
            fitting += 1
        self._granted.update(wanted)
        return fitting

    def free(self, partition: int) -> int:
        """How many records fit into a partition now."""
        if self._lag is None:
            return 0
        since = self._granted[partition] - self._delivered_before[partition]
        return self._max_unread - self._lag.get(partition, 0) - since

    def delivered(self, partitions: Sequence[int]) -> None:
        """These granted records are in Kafka."""
        self._delivered.update(partitions)

    def begin_reading(self) -> Reading:
        """To be called before the lag is read; its result goes to `finish_reading`."""
        return Reading(self._delivered.copy())

    def finish_reading(self, reading: Reading, lag: Mapping[int, int]) -> None:
        """The lag of the downloader's group by partition, read since `begin_reading`."""
        self._delivered_before = reading.delivered
        self._lag = lag
