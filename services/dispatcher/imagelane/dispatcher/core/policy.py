"""What the settings leave to decide, and the moment in which it is decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from imagelane.dispatcher.core.polling import Bounds, back_off

Capabilities = Literal["A", "B", "C", "D"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How this deployment deals with its external API. Times are seconds.

    `capabilities` is the level of `batch-api.openapi.yaml`: A honours idempotency keys; B and C can only be asked
    which calls they have, so late requests are waited out; D cannot even be asked.
    """

    capabilities: Capabilities
    poll: Bounds
    retry: Bounds
    retry_after_max_seconds: float
    drain_seconds: float
    hold_seconds: float
    item_attempts: int

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

    def after_failures(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return back_off(failures, self.luck, self.policy.retry)

    def asked_for(self, seconds: float | None, failures: int) -> float:
        """Seconds to wait when the API itself said how long, within the settings' bound."""
        if seconds is None:
            return self.after_failures(failures)
        return min(seconds, self.policy.retry_after_max_seconds) + self.after_failures(1)
