"""Whether the processor is far enough behind that fetching more would only fill the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SIZE_WEIGHT: Final = 0.01


@dataclass(frozen=True, slots=True)
class BacklogBounds:
    """More than this, and fetching stops."""

    images: int
    bytes: int


class Backlog:
    """The processor's unread records, and what their originals take, about.

    The bytes are an estimate: the records times the mean size of what this worker has stored lately.
    """

    def __init__(self, bounds: BacklogBounds) -> None:
        self._bounds = bounds
        self._mean_bytes = 0.0
        self._unread_records = 0

    def stored(self, size_bytes: int) -> None:
        """One more original is in the store."""
        if self._mean_bytes == 0:
            self._mean_bytes = float(size_bytes)
        else:
            self._mean_bytes += (size_bytes - self._mean_bytes) * SIZE_WEIGHT

    def seen(self, unread_records: int) -> None:
        """What the group's lag was a moment ago."""
        self._unread_records = unread_records

    @property
    def is_full(self) -> bool:
        """Whether fetching has to stop until the processor has caught up."""
        return (
            self._unread_records > self._bounds.images
            or self._unread_records * self._mean_bytes > self._bounds.bytes
        )
