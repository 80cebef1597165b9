"""Settings: the only place that reads the environment. Everything is checked before the first connection."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX = "IMAGELANE_"
ENV_NESTED = "__"

Port = Annotated[int, Field(ge=0, le=65_535)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class SettingsError(Exception):
    """Settings are missing or wrong; the message names each environment variable."""


class SettingsGroup(BaseModel):
    """A group of settings that several services share; unknown names in it are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(SettingsGroup):
    """How to reach the broker, and what the deployment's topics and groups are called."""

    bootstrap_servers: str = Field(
        min_length=1, description="`host:port` of one or more brokers, separated by commas."
    )
    topic_prefix: str = Field(
        default="",
        pattern=r"^([a-z0-9][a-z0-9-]*[.-])?$",
        description="Put before every topic, consumer group and transactional id, such as `test-`.",
    )
    group_protocol: Literal["consumer", "classic"] = Field(
        default="consumer",
        description="`consumer` is KIP-848; `classic` for tools that do not list the new groups yet.",
    )
    strict_partitions: int = Field(
        default=12,
        ge=1,
        le=1_000,
        description="Partitions of every strict topic. Never changes under a live system.",
    )
    spread_partitions: int = Field(
        default=12, ge=1, le=10_000, description="Partitions of `requested` and `downloaded`."
    )
    spread: int = Field(
        default=1,
        ge=1,
        description="How many partitions of `requested` and `downloaded` one customer may use.",
    )
    replication_factor: int = Field(default=1, ge=1, le=9)
    session_timeout_seconds: float = Field(default=10.0, ge=6.0, le=300.0)
    client: dict[str, str] = Field(
        default_factory=dict,
        description="Further librdkafka properties, as JSON, such as security settings.",
    )

    def topic(self, name: str) -> str:
        """The topic's name on the broker."""
        return self.topic_prefix + name

    def group(self, service: str) -> str:
        """The consumer group of a service on the broker."""
        return f"{self.topic_prefix}imagelane-{service}"

    def partitions(self, *, strict: bool) -> int:
        """How many partitions a topic of this kind has."""
        return self.strict_partitions if strict else self.spread_partitions


class LogSettings(SettingsGroup):
    """What is logged, and in which shape."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    form: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is console on a terminal and JSON elsewhere."
    )


class HealthSettings(SettingsGroup):
    """Where `/livez`, `/readyz` and `/metrics` are served."""

    host: str = "127.0.0.1"
    port: Port = Field(default=0, description="0 takes no port: nothing is served.")


class DestinationSettings(SettingsGroup):
    """One place for results: a folder of a directory store or a bucket, and its public address."""

    kind: Literal["directory", "s3"] = "directory"
    directory: Path | None = Field(default=None, description="For `directory`: the store's root.")
    bucket: str | None = Field(default=None, description="For `s3`.")
    prefix: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)*$")
    public_base_url: str = Field(
        pattern=r"^https?://[^\s]+[^/\s]$",
        description="Before `/<job_id>/<index>/<output>.<ext>`; without a slash at its end.",
    )


class S3Settings(SettingsGroup):
    """How to reach S3, for the private part and for destinations of kind `s3`."""

    endpoint_url: str | None = Field(default=None, description="Empty for AWS itself.")
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key_file: Path | None = Field(
        default=None, description="A file with the secret; the AWS chain where it is empty."
    )
    path_style: bool = False
    max_connections: int = Field(default=64, ge=1, le=1_000)


class StoreSettings(SettingsGroup):
    """The object store: one private part, and the destinations that jobs may name."""

    private_kind: Literal["directory", "s3"] = "directory"
    private_directory: Path | None = None
    private_bucket: str | None = None
    private_prefix: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)*$")
    destinations: dict[Name, DestinationSettings] = Field(min_length=1)
    s3: S3Settings = S3Settings()


class ServiceSettings(BaseSettings):
    """What every service has. A service's own class adds its groups to these."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_NESTED, frozen=True, extra="ignore"
    )

    kafka: KafkaSettings
    deployment_id: str = Field(
        default="imagelane",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Whose topics these are. A second deployment under the same topics is refused.",
    )
    log: LogSettings = LogSettings()
    health: HealthSettings = HealthSettings()


Settings = TypeVar("Settings", bound=BaseSettings)


def variable_of(location: tuple[int | str, ...]) -> str:
    """The environment variable behind a place in a settings class."""
    return ENV_PREFIX + ENV_NESTED.join(str(part).upper() for part in location)


def load(settings: type[Settings]) -> Settings:
    """The settings from the environment. Raises `SettingsError` that names every wrong variable."""
    try:
        return settings()
    except ValidationError as error:
        wrong = [f"  {variable_of(one['loc'])}: {one['msg']}" for one in error.errors()]
        raise SettingsError("settings are missing or wrong:\n" + "\n".join(wrong)) from None


def load_or_exit(settings: type[Settings]) -> Settings:
    """As `load`; prints the error and exits with 2, as for any wrong usage."""
    try:
        return load(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
