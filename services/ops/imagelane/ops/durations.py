"""How long something takes, as people say it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def spoken(duration: timedelta) -> str:
    """`0.9 s`, `12.5 s`, `3.0 min`, `5.2 h`, `4.0 d`; never below zero."""
    seconds = max(duration.total_seconds(), 0.0)
    name, length = next((one for one in UNITS if seconds >= one[1]), UNITS[-1])
    return f"{seconds / length:.1f} {name}"
