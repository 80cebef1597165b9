"""What the settings leave to decide, and the moment in which it is decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import UNSET

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core.overdue import Patience
from imagelane.dispatcher.core.polling import Bounds, back_off

KEY_TRUSTED: Final = timedelta(hours=12)
"""Level A keeps a key for at least 24 hours. Half of it is a margin: clocks jump, and requests come late."""

KEPT_HOWEVER_MANY: Final = timedelta(days=1)
"""A job that has changed within this time is never forgotten for want of room: it may still be under way."""

Capabilities = Literal["A", "B", "C", "D"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How this deployment deals with its external API. Times are seconds.

    `capabilities` is the level of `batch-api.openapi.yaml`: A honours idempotency keys; B and C can only be asked
    which calls they have, so late requests are waited out; D cannot even be asked.

    `doubt_seconds`: how long a call may go without a clear answer before the lane is held.
    `consistent_reads`: so many times in a row a call must not be found, or it may be there after all:
    lists and replicas lag. `retention`: how long jobs are remembered after their last change, and `max_jobs`
    how many of a partition.
    """

    capabilities: Capabilities
    poll: Bounds
    retry: Bounds
    retry_after_max_seconds: float
    drain_seconds: float
    hold_seconds: float
    item_attempts: int
    doubt_seconds: float
    consistent_reads: int
    patience: Patience
    retention: timedelta
    max_jobs: int

    def forgets(self, age: timedelta, jobs: int) -> bool:
        """Whether a job that has not changed for `age` leaves a book of so many."""
        return age > self.retention or (jobs > self.max_jobs and age > KEPT_HOWEVER_MANY)

    @property
    def keys_protect(self) -> bool:
        """Whether sending the same key twice starts one call only."""
        return self.capabilities == "A"

    @property
    def can_search(self) -> bool:
        """Whether the API can be asked for a call by our reference."""
        return self.capabilities != "D"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a decision is taken; `luck` is a random number from 0 to 1, for jitter."""

    now: datetime
    luck: float
    policy: Policy

    def key_protects(self, lane: LaneRecorded) -> bool:
        """Whether sending the plan's key again starts nothing new."""
        first = self.now if lane.first_attempt_at is UNSET else lane.first_attempt_at
        return self.policy.keys_protect and self.now - first < KEY_TRUSTED

    def after_failures(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return back_off(failures, self.luck, self.policy.retry)

    def asked_for(self, seconds: float | None, failures: int) -> float:
        """Seconds to wait when the API itself said how long, within the settings' bound."""
        if seconds is None:
            return self.after_failures(failures)
        return min(seconds, self.policy.retry_after_max_seconds) + self.after_failures(1)
