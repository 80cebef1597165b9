"""The gateway's settings."""

from __future__ import annotations

from pydantic import Field, FilePath

from imagelane.platform.settings import Port, ServiceSettings, SettingsGroup, StoreSettings


class GatewaySettings(SettingsGroup):
    """Where the gateway listens, and what it asks of webhooks."""

    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: Port = Field(default=8080, description="0 takes a free one; the log names it.")
    webhook_secret_files: list[FilePath] = Field(
        default_factory=list,
        description="JSON list of files, each with one `whsec_…` secret of the batch API's webhooks."
        " Several while a secret is changed. Without any, webhooks are answered 404.",
    )
    body_seconds: float = Field(
        default=10.0, gt=0, le=60, description="How long a webhook's body may take to arrive."
    )
    kafka_seconds: float = Field(
        default=5.0, ge=0.1, le=30, description="How long Kafka may take before a webhook gets 503."
    )


class Settings(ServiceSettings):
    """Everything that the gateway is told from outside."""

    store: StoreSettings
    gateway: GatewaySettings = GatewaySettings()
