"""The dispatcher's settings."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    Field,
    FilePath,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from imagelane.dispatcher.core.overdue import Patience
from imagelane.dispatcher.core.policy import Capabilities, Policy
from imagelane.dispatcher.core.polling import Bounds
from imagelane.platform.settings import ServiceSettings, SettingsGroup
from imagelane.platform.store_settings import StoreSettings

Failpoint = Literal[
    "before_plan",
    "before_transaction",
    "in_transaction",
    "before_commit",
    "after_plan",
    "after_attempt",
    "before_gate",
    "behind_gate",
    "after_bytes",
    "after_2xx",
    "after_active",
    "after_resolve",
]
FailpointAction = Literal["kill", "stop"]


class DispatcherSettings(SettingsGroup):
    """How calls are made: what the external API promises, and how patient we are."""

    capabilities: Capabilities = Field(
        description="What the external API offers, as docs tell: A honours idempotency keys, B refuses a second"
        " active call, C only lists calls, D nothing. Decides what can be promised."
    )
    worker_name: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=200,
        description="Differs between workers and stays over restarts (the pod's name): the transactional id.",
    )
    callback_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        max_length=2_048,
        description="Where the API shall send its webhooks: the gateway's public address plus"
        " `/v1/callbacks/batch`. Empty: polling only.",
    )
    poll_min_seconds: float = Field(
        default=0.2, ge=0.01, le=60.0, description="Between two looks at a call, at the least."
    )
    poll_max_seconds: float = Field(
        default=5.0,
        ge=0.01,
        le=3_600.0,
        validate_default=True,
        description="A call is looked at after a tenth of its age, within these two bounds.",
    )
    retry_min_seconds: float = Field(
        default=0.5,
        ge=0.01,
        le=60.0,
        description="Longest back-off before the second try.",
    )
    retry_max_seconds: float = Field(
        default=30.0,
        ge=0.01,
        le=3_600.0,
        validate_default=True,
        description="Back-off between tries, doubled from the first to the second bound, with full jitter.",
    )
    retry_after_max_seconds: float = Field(
        default=600.0, ge=1.0, le=86_400.0, description="The longest Retry-After that is obeyed."
    )
    drain_seconds: float = Field(
        default=60.0,
        ge=0.0,
        le=3_600.0,
        description="Levels B and C: how long a request without an answer may still arrive at the API.",
    )
    hold_seconds: float = Field(
        default=60.0, ge=0.1, le=86_400.0, description="After so long a held lane looks again."
    )
    doubt_seconds: float = Field(
        default=300.0,
        ge=0.0,
        le=86_400.0,
        description="Levels A to C: a call that has had no clear answer for so long is held, so that people see it.",
    )
    consistent_reads: int = Field(
        default=3,
        ge=1,
        le=100,
        description="So many times in a row the API must not know a call: before it is sent again (levels B and C),"
        " and before one that ran counts as vanished.",
    )
    overdue_factor: float = Field(
        default=5.0,
        ge=1.0,
        le=1_000.0,
        description="A call is overdue, which only raises an alert, after so many times what the customer's calls"
        " usually take.",
    )
    overdue_floor_seconds: float = Field(
        default=120.0,
        ge=0.0,
        le=86_400.0,
        description="What a call usually takes counts as this at least.",
    )
    retention_days: float = Field(
        default=105.0,
        gt=0.0,
        le=10_000.0,
        description="Jobs are forgotten so long after their last change. Must be more than the topics' retention"
        " (jobs: 90 days) and the age of a segment (7 days) together: what is replayed of a forgotten job is new.",
    )
    max_jobs: int = Field(
        default=1_000_000,
        ge=1,
        le=100_000_000,
        description="So many jobs are remembered of each partition, at about a KB of memory; of more, those that have"
        " not changed for longest are forgotten before their time, but never within a day.",
    )
    item_attempts: int = Field(
        default=1,
        ge=1,
        le=100,
        description="In how many calls an image may fail before it has failed for good.",
    )
    images_in_flight: int = Field(
        default=1_000_000,
        ge=1,
        le=100_000_000,
        description="Images in requests for new calls at one time: 100,000 take about 10 MB of memory.",
    )
    allow_failpoints: bool = Field(default=False, description="For tests only.")
    failpoint: Failpoint | None = Field(
        default=None,
        validate_default=True,
        description="For tests: something happens to the process when it comes to this point.",
    )
    failpoint_action: FailpointAction = Field(
        default="kill",
        description="For tests: the process kills itself (SIGKILL), or stops itself (SIGSTOP) until it gets SIGCONT.",
    )
    failpoint_marker: Path | None = Field(
        default=None,
        description="For tests: the failpoint works once, and makes this file when it does.",
    )

    @field_validator("poll_max_seconds", "retry_max_seconds")
    @classmethod
    def _not_below_min(cls, value: float, info: ValidationInfo) -> float:
        name = str(info.field_name).replace("max", "min")
        if value < info.data.get(name, 0.0):
            raise ValueError(f"must not be less than {name}")
        return value

    @field_validator("failpoint")
    @classmethod
    def _allowed(cls, value: Failpoint | None, info: ValidationInfo) -> Failpoint | None:
        if value is not None and not info.data.get("allow_failpoints"):
            raise ValueError("refused unless IMAGELANE_DISPATCHER__ALLOW_FAILPOINTS is true")
        return value

    def policy(self) -> Policy:
        """What of these settings the decisions depend on."""
        return Policy(
            capabilities=self.capabilities,
            poll=Bounds(self.poll_min_seconds, self.poll_max_seconds),
            retry=Bounds(self.retry_min_seconds, self.retry_max_seconds),
            retry_after_max_seconds=self.retry_after_max_seconds,
            drain_seconds=self.drain_seconds,
            hold_seconds=self.hold_seconds,
            item_attempts=self.item_attempts,
            doubt_seconds=self.doubt_seconds,
            consistent_reads=self.consistent_reads,
            patience=Patience(self.overdue_factor, self.overdue_floor_seconds),
            retention=timedelta(days=self.retention_days),
            max_jobs=self.max_jobs,
        )


class BatchApiSettings(SettingsGroup):
    """How to reach the external batch API, for the adapter `http`."""

    adapter: str = Field(
        default="http",
        min_length=1,
        description="Which entry point of the group `imagelane.batch_api` speaks with the API.",
    )
    base_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s?#]+[^/\s?#])?$",
        validate_default=True,
        description="Before the paths, such as `https://api.example.com/v1`.",
    )
    batches_path: str = Field(
        default="/batches",
        pattern=r"^/[^\s?#]*$",
        description="Below the base URL: where calls are started and listed.",
    )
    batch_path: str = Field(
        default="/batches/{id}",
        pattern=r"^/[^\s?#]*\{id\}[^\s?#]*$",
        description="`{id}` stands for the call's id, percent-encoded.",
    )
    token: SecretStr | None = Field(default=None, description="The bearer token.")
    token_file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="A file with the bearer token, read again for every request: a mended one heals.",
    )
    connect_seconds: float = Field(
        default=5.0, ge=0.05, le=60.0, description="For reaching the API, TLS included."
    )
    start_seconds: float = Field(
        default=30.0, ge=0.1, le=600.0, description="For a request for a new call, answer included."
    )
    look_seconds: float = Field(default=10.0, ge=0.1, le=600.0, description="For any other.")
    max_answer_bytes: int = Field(
        default=32 * 1024**2,
        ge=1_024,
        le=1024**3,
        description="A longer answer counts as unreadable. 100,000 failed URLs take about 25 MB.",
    )
    max_connections: int = Field(
        default=256, ge=1, le=10_000, description="To the API at a time, by one process."
    )
    options: dict[str, str] = Field(
        default_factory=dict, description="For an adapter of your own, as JSON."
    )

    @field_validator("base_url")
    @classmethod
    def _http_needs_it(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("adapter") == "http":
            raise ValueError("must be set for the adapter http")
        return value

    @field_validator("token_file")
    @classmethod
    def _one_token(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("token") is not None:
            raise ValueError("token and token_file exclude each other")
        return value


class Settings(ServiceSettings):
    """Everything the dispatcher needs."""

    store: StoreSettings
    dispatcher: DispatcherSettings
    batch_api: BatchApiSettings

    @model_validator(mode="after")
    def _late_requests_are_waited_out(self) -> Self:
        own = self.dispatcher
        if own.capabilities in ("B", "C") and own.drain_seconds < self.batch_api.start_seconds:
            raise ValueError(
                "at the levels B and C, IMAGELANE_DISPATCHER__DRAIN_SECONDS must not be less than"
                " IMAGELANE_BATCH_API__START_SECONDS: a request may be under way for so long"
            )
        return self
