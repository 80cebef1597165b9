"""The notifier's settings."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from imagelane.notifier.core.attempts import Schedule
from imagelane.platform.http_guards import HttpGuardSettings
from imagelane.platform.notify_settings import NotifySigningSettings, NotifyUrlSettings
from imagelane.platform.settings import ServiceSettings, SettingsGroup

DAY_SECONDS: Final = 86_400.0
Delay = Annotated[float, Field(gt=0, le=5 * DAY_SECONDS)]
"""A waiting notice is written anew before the topic's retention (14 days) may take it away."""


class NotifierSettings(SettingsGroup):
    """How often, how long and how many at a time notices are posted."""

    retry_seconds: list[Delay] = Field(
        default=[5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
        max_length=100,
        description="Seconds before the second attempt, the third, and so on; after the last one a notice is"
        " given up. By default ten attempts in a bit more than three days, as Standard Webhooks recommends.",
    )
    jitter: float = Field(
        default=0.2, ge=0, le=1, description="Up to this share of each delay is added, by chance."
    )
    max_retry_after_seconds: float = Field(
        default=DAY_SECONDS,
        ge=0,
        le=5 * DAY_SECONDS,
        description="The longest wait that a receiver's `Retry-After` can ask for.",
    )
    post_seconds: float = Field(
        default=15.0, gt=0, le=300, description="For one attempt, to the head of the answer."
    )
    posts: int = Field(default=256, ge=1, le=10_000, description="Attempts at a time.")
    posts_per_host: int = Field(
        default=4, ge=1, le=1_000, description="Of these to one host, which others share."
    )
    max_pending_per_customer: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Notices of one customer that wait, at about 1.3 KB of memory each; one more is given up.",
    )
    drain_seconds: float = Field(
        default=5.0, ge=0, le=60, description="At a stop, attempts under way may take so long."
    )

    def schedule(self) -> Schedule:
        """When notices are posted again."""
        return Schedule(self.retry_seconds, self.jitter, self.max_retry_after_seconds)


class Settings(ServiceSettings):
    """Everything that the notifier is told from outside."""

    http: HttpGuardSettings = HttpGuardSettings()
    notify: NotifyUrlSettings = NotifyUrlSettings()
    notify_signing: NotifySigningSettings = NotifySigningSettings()
    notifier: NotifierSettings = NotifierSettings()
