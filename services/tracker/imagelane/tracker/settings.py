"""What the tracker is told from outside."""

from __future__ import annotations

from pydantic import Field

from imagelane.platform.settings import ServiceSettings, SettingsGroup
from imagelane.tracking.database import DatabaseSettings


class TrackerSettings(SettingsGroup):
    """How much is written at a time, and how long it is kept."""

    batch_records: int = Field(
        default=4_000, ge=1, le=100_000, description="At most so many records in a transaction."
    )
    batch_seconds: float = Field(
        default=0.5,
        ge=0.01,
        le=60.0,
        description="A transaction takes what comes in this time: how old an answer may be, and more.",
    )
    retention_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="For so long after its end a job can be asked for, with all its images.",
    )


class Settings(ServiceSettings):
    """Everything that the tracker is told from outside."""

    database: DatabaseSettings
    tracker: TrackerSettings = TrackerSettings()
