"""The gateway's settings."""

from __future__ import annotations

from pydantic import Field, FilePath

from imagelane.contracts.events import MAX_LIST_LINES
from imagelane.platform.deployment_secret import DeploymentSecretSettings
from imagelane.platform.http_guards import HttpGuardSettings
from imagelane.platform.notify_settings import NotifySigningSettings, NotifyUrlSettings
from imagelane.platform.settings import Port, ServiceSettings
from imagelane.platform.store_settings import StoreSettings
from imagelane.tracking.database import DatabaseSettings

MIB = 1 << 20


class GatewaySettings(DeploymentSecretSettings):
    """Where the gateway listens, what it asks of webhooks, and how much it takes from whom."""

    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: Port = Field(default=8080, description="0 takes a free one; the log names it.")
    webhook_secret_files: list[FilePath] = Field(
        default_factory=list,
        description="JSON list of files, each with one `whsec_…` secret of the batch API's webhooks."
        " Several while a secret is changed. Without any, webhooks are answered 404.",
    )
    body_seconds: float = Field(
        default=10.0,
        gt=0,
        le=60,
        description="How long a webhook's body may take to arrive, and how long any other may be silent.",
    )
    kafka_seconds: float = Field(
        default=5.0,
        ge=0.1,
        le=30,
        description="How long Kafka may take before the answer is 503.",
    )
    max_list_bytes: int = Field(
        default=32 * MIB, ge=1_024, le=1_024 * MIB, description="Of the body of a submission."
    )
    max_list_lines: int = Field(
        default=MAX_LIST_LINES, ge=1, le=1_000_000, description="Images in one list; as intake's."
    )
    upload_seconds: float = Field(
        default=300.0, gt=0, le=3_600, description="How long a submission's body may take in all."
    )
    min_bytes_per_second: int = Field(
        default=10_000,
        ge=0,
        le=10_000_000,
        description="A body that comes slower than this, over `body_seconds`, is cut.",
    )
    bodies: int = Field(
        default=8,
        ge=1,
        le=1_000,
        description="Submissions read at a time; each may take `max_list_bytes` of memory or disk.",
    )
    bodies_per_customer: int = Field(
        default=4, ge=1, le=1_000, description="Of these of one customer; more are answered 429."
    )
    jobs_per_minute: int = Field(
        default=120,
        ge=1,
        le=100_000,
        description="Submissions of one customer, at once or evenly; more are answered 429. Per gateway.",
    )
    max_open_jobs: int = Field(
        default=1_000,
        ge=1,
        le=1_000_000,
        description="Unfinished jobs of one customer; with so many the next is answered 429.",
    )
    max_pending_images: int = Field(
        default=1_000_000,
        ge=1,
        le=1_000_000_000,
        description="Images of one customer without an outcome; with so many the next job is answered 429.",
    )
    streams: int = Field(
        default=500, ge=1, le=100_000, description="Event streams at a time; more are answered 429."
    )
    stream_seconds: float = Field(
        default=0.5, gt=0, le=60, description="Between two looks for what event streams tell."
    )


class Settings(ServiceSettings):
    """Everything that the gateway is told from outside."""

    store: StoreSettings
    database: DatabaseSettings
    http: HttpGuardSettings = HttpGuardSettings()
    notify: NotifyUrlSettings = NotifyUrlSettings()
    notify_signing: NotifySigningSettings = NotifySigningSettings()
    gateway: GatewaySettings
