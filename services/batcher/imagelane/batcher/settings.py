"""Settings of the batcher: `IMAGELANE_BATCHER__…`, beside the shared groups."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from imagelane.batcher.core.policy import POLICIES, Rules
from imagelane.platform.settings import ServiceSettings, SettingsGroup


class BatcherSettings(SettingsGroup):
    """When calls are asked for, how long things are waited for, and how Faust is run."""

    call_policy: Literal["first-full"] = Field(
        default="first-full", description="By which rule a lane asks for its next call."
    )
    first_call_images: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="A lane without a running call asks when so many images are ready.",
    )
    linger_seconds: float = Field(
        default=20.0,
        ge=0.0,
        le=86_400.0,
        description="A lane asks with fewer images when the oldest has been ready for so long.",
    )
    max_images_per_call: int | None = Field(
        default=None, ge=1, description="Where the API takes no more; no limit by default."
    )
    resend_after_seconds: float = Field(
        default=60.0,
        gt=0.0,
        le=3_600.0,
        description="A request that the dispatcher has not answered is sent again; doubles each time.",
    )
    sweep_after_seconds: float = Field(
        default=60.0,
        ge=0.0,
        le=86_400.0,
        description="A sealed job of which nothing has moved for so long, though images are missing, has them"
        " requested again; doubles each time. 0 switches the sweep off.",
    )
    retention_days: float = Field(
        default=14.0,
        gt=0.0,
        le=400.0,
        description="So long a finished job is remembered. Older events never begin a job again. At least as long as"
        " the topics keep what brings images (7 days) and the age of a segment (7 days) together.",
    )
    max_finished_jobs: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="So many finished jobs of a customer are remembered at most, the latest ones.",
    )
    flush_every_seconds: float = Field(
        default=0.02,
        gt=0.0,
        le=1.0,
        description="So long events are gathered before what follows from them is written and sent.",
    )
    flush_events: int = Field(
        default=500, ge=1, le=4_000, description="So many events are gathered at most."
    )
    tick_every_seconds: float = Field(
        default=0.25, gt=0.0, le=5.0, description="How often lanes are looked at for what is due."
    )
    order_patience_seconds: float = Field(
        default=5.0,
        gt=0.0,
        le=60.0,
        description="The process leaves when a record that Faust skipped does not come for so long.",
    )
    no_progress_seconds: float = Field(
        default=120.0,
        ge=10.0,
        le=3_600.0,
        description="The process leaves when records wait and none is taken for so long.",
    )
    group_instance_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Static membership: the pod's name, in a StatefulSet only. Two processes must never share it.",
    )

    def rules(self) -> Rules:
        """What the decisions need of these settings."""
        return Rules(
            ask_at=POLICIES[self.call_policy],
            first_call_images=self.first_call_images,
            linger_seconds=self.linger_seconds,
            resend_after_seconds=self.resend_after_seconds,
            stalled_after_seconds=self.sweep_after_seconds or self.resend_after_seconds,
            sweep=self.sweep_after_seconds > 0,
            retention=timedelta(days=self.retention_days),
            max_images_per_call=self.max_images_per_call,
            max_finished_jobs=self.max_finished_jobs,
        )


class Settings(ServiceSettings):
    """All settings of the batcher."""

    batcher: BatcherSettings = BatcherSettings()
