"""How long a failed image waits before its next try."""

from __future__ import annotations

from typing import Final

BASE_SECONDS: Final = 1.0
MAX_SECONDS: Final = 30.0


def retry_delay_seconds(tries: int, fraction: float, *, retry_after_seconds: float | None) -> float:
    """Full jitter: `fraction` (0 to 1, drawn by the caller) of a bound that doubles with every try.

    On top of what the server asked for, so that its images do not all come back at the same moment.
    """
    return (retry_after_seconds or 0.0) + fraction * min(MAX_SECONDS, BASE_SECONDS * 2.0**tries)
