"""Intake's settings."""

from __future__ import annotations

from pydantic import Field

from imagelane.contracts.events import MAX_LIST_LINES
from imagelane.platform.deployment_secret import DeploymentSecretSettings
from imagelane.platform.guarded_http import HttpGuardSettings
from imagelane.platform.notify_settings import NotifyUrlSettings
from imagelane.platform.settings import ServiceSettings
from imagelane.platform.store_settings import StoreSettings

MIB = 1 << 20


class IntakeSettings(DeploymentSecretSettings):
    """What lists may be, how many are worked on at a time, and how far they may run ahead."""

    max_list_lines: int = Field(
        default=MAX_LIST_LINES, ge=1, le=1_000_000, description="Images in one list by reference."
    )
    max_list_bytes: int = Field(
        default=256 * MIB, ge=1_024, le=4_096 * MIB, description="Of a list, gzip unpacked."
    )
    max_fetched_bytes: int = Field(
        default=32 * MIB, ge=1_024, le=1_024 * MIB, description="Of a list as it is transferred."
    )
    fetch_attempts: int = Field(
        default=5, ge=1, le=20, description="Tries before a list that cannot be fetched is refused."
    )
    fetch_backoff_seconds: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="Longest wait before the second try; it doubles with each further one, up to 30 s.",
    )
    fetches: int = Field(
        default=16, ge=1, le=1_000, description="Lists fetched at a time; each may take some MB."
    )
    fetches_per_customer: int = Field(
        default=4, ge=1, le=1_000, description="Of these of one customer."
    )
    active_lists: int = Field(
        default=64, ge=1, le=10_000, description="Lists whose images are requested at a time."
    )
    active_lists_per_customer: int = Field(
        default=8, ge=1, le=10_000, description="The customer's other lists wait, frozen already."
    )
    chunk_images: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Images requested before it is another list's turn.",
    )
    max_unread: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Records in a partition of `requested` that the downloader has not finished.",
    )
    lag_seconds: float = Field(
        default=0.5, gt=0, le=60, description="Between two looks at the downloader's lag."
    )
    sweep_check_seconds: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Between two looks at the road before images that are"
        " missing are requested again, or a job's objects removed.",
    )
    retention_days: float = Field(
        default=120.0,
        gt=0,
        le=10_000,
        description="So long after its end a job's key is known: the same submission is the same job. Then"
        " its list is removed, and the key begins a new job. Longer than the batcher and the dispatcher"
        " remember the job, and than `urls` keeps records; older submissions are refused.",
    )
    upload_retention_days: float = Field(
        default=7.0,
        gt=0,
        le=10_000,
        description="So long after it was uploaded a list that no job names is removed. At least as long as `urls`"
        " keeps records, any of which may still name it.",
    )
    tidy_every_seconds: float = Field(
        default=21_600.0,
        gt=0,
        le=86_400,
        description="How often the private store is looked through for what is too old. A job that has not"
        " finished for so long after its list was sealed is told to be sealed once more, for a tenth of"
        " `retention_days`.",
    )


class Settings(ServiceSettings):
    """Everything that intake can be told."""

    store: StoreSettings
    http: HttpGuardSettings = HttpGuardSettings()
    notify: NotifyUrlSettings = NotifyUrlSettings()
    intake: IntakeSettings
