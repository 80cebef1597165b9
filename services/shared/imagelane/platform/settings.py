"""Settings: the only place that reads the environment. Everything is checked before the first connection."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX = "IMAGELANE_"
ENV_NESTED = "__"
DEFAULT_DEPLOYMENT = "imagelane"

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
    replication_factor: int = Field(
        default=1, ge=1, le=9, description="Copies of every partition: 3 on a cluster."
    )
    session_timeout_seconds: float = Field(
        default=10.0,
        ge=6.0,
        le=300.0,
        description="After so long without a sign of life a process loses its partitions to others.",
    )
    unreadable_ratio: float = Field(
        default=0.05,
        gt=0.0,
        le=1.0,
        description="A service stops, with exit code 65, when more than this share of a minute's records"
        " cannot be read, rather than drain a topic into its dead letters. 1 never stops.",
    )
    unreadable_records: int = Field(
        default=100,
        ge=0,
        le=100_000,
        description="So many in a minute that cannot be read are never too many.",
    )
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

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least serious messages that are written."
    )
    form: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is console on a terminal and JSON elsewhere."
    )


class HealthSettings(SettingsGroup):
    """Where `/livez`, `/readyz`, `/startupz` and `/metrics` are served."""

    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: Port = Field(default=0, description="0 takes no port: nothing is served.")


StoreKind = Literal["directory", "s3"]
Place = TypeVar("Place", Path, str)


def place_for(kind: StoreKind | None, wanted: StoreKind, place: Place | None) -> Place | None:
    """The place itself if it is set exactly when the kind of store needs it, else `ValueError`."""
    if kind == wanted and place is None:
        raise ValueError(f"must be set for a store of kind {wanted}")
    if kind not in (wanted, None) and place is not None:
        raise ValueError(f"contradicts the kind {kind}")
    return place


class DestinationSettings(SettingsGroup):
    """One place for results: a folder of a directory store or a bucket, and its public address."""

    kind: StoreKind = Field(default="directory", description="What the results lie in.")
    directory: Path | None = Field(
        default=None, validate_default=True, description="For `directory`: the store's root."
    )
    bucket: str | None = Field(default=None, validate_default=True, description="For `s3`.")
    prefix: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)*$",
        description="A path inside the folder or bucket, with a slash at its end.",
    )
    public_base_url: str = Field(
        pattern=r"^https?://[^\s]+[^/\s]$",
        description="Before `/<job_id>/<index>/<output>.<ext>`; without a slash at its end.",
    )

    @field_validator("directory")
    @classmethod
    def _directory_fits_kind(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return place_for(info.data.get("kind"), "directory", value)

    @field_validator("bucket")
    @classmethod
    def _bucket_fits_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        return place_for(info.data.get("kind"), "s3", value)


class S3Settings(SettingsGroup):
    """How to reach S3, for the private part and for destinations of kind `s3`."""

    endpoint_url: str | None = Field(default=None, description="Empty for AWS itself.")
    region: str = Field(default="us-east-1", description="Any, for servers that have none.")
    access_key_id: str | None = Field(default=None, description="None for the AWS chain.")
    secret_access_key_file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="A file with the secret of `access_key_id`; without both, the AWS chain.",
    )
    path_style: bool = Field(
        default=False, description="`<endpoint>/<bucket>/…`, for servers without a name per bucket."
    )
    max_connections: int = Field(
        default=64, ge=1, le=1_000, description="Kept open to the endpoint, by one process."
    )

    @field_validator("secret_access_key_file")
    @classmethod
    def _both_or_none(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("access_key_id") is None):
            raise ValueError("access_key_id and secret_access_key_file go together")
        return value


class StoreSettings(SettingsGroup):
    """The object store: one private part, and the destinations that jobs may name."""

    private_kind: StoreKind = Field(
        default="directory", description="What accepted lists and originals lie in."
    )
    private_directory: Path | None = Field(
        default=None, validate_default=True, description="For `directory`: the store's root."
    )
    private_bucket: str | None = Field(default=None, validate_default=True, description="For `s3`.")
    private_prefix: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)*$",
        description="A path inside the folder or bucket, with a slash at its end.",
    )
    destinations: dict[Name, DestinationSettings] = Field(min_length=1)
    directory_fsync: bool = Field(
        default=False,
        description="Directories: wait for the disk with every write. Off, a loss of power (not of a process) may"
        " take the last seconds' objects; on, a write of 1.4 MB costs 3 ms instead of 0.4.",
    )
    s3: S3Settings = S3Settings()

    @field_validator("private_directory")
    @classmethod
    def _directory_fits_kind(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return place_for(info.data.get("private_kind"), "directory", value)

    @field_validator("private_bucket")
    @classmethod
    def _bucket_fits_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        return place_for(info.data.get("private_kind"), "s3", value)

    @field_validator("destinations")
    @classmethod
    def _private_is_not_public(
        cls, value: dict[str, DestinationSettings], info: ValidationInfo
    ) -> dict[str, DestinationSettings]:
        for name, one in value.items():
            if _holds(one, info.data):
                raise ValueError(f"destination {name!r} would publish the private part")
        return value


def _holds(destination: DestinationSettings, private: dict[str, Any]) -> bool:
    """Whether the private part lies in what this destination serves to everybody."""
    prefix: str = private.get("private_prefix") or ""
    if destination.bucket is not None:
        same = destination.bucket == private.get("private_bucket")
        return same and prefix.startswith(destination.prefix)
    directory: Path | None = private.get("private_directory")
    if destination.directory is None or directory is None:
        return False
    served = (destination.directory / destination.prefix).resolve()
    return (directory / prefix).resolve().is_relative_to(served)


class EnvironmentSettings(BaseSettings):
    """Read from variables that begin with `IMAGELANE_`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_NESTED, frozen=True, extra="ignore"
    )


class ServiceSettings(EnvironmentSettings):
    """What every service has. A service's own class adds its groups to these."""

    kafka: KafkaSettings
    deployment_id: str = Field(
        default=DEFAULT_DEPLOYMENT,
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
