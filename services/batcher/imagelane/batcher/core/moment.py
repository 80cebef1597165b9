"""Now, as the decisions see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on two clocks.

    `seconds` only grows and times every wait, whatever happens to the wall clock; it means nothing
    in another process, so it is never written down. `at` is what events and people see.
    """

    seconds: float
    at: datetime
