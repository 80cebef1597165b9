"""Settings: the only place that reads the environment. Everything is checked before the first connection."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from imagelane.platform.kafka_security import KafkaAccess

ENV_PREFIX = "IMAGELANE_"
ENV_NESTED = "__"
DEFAULT_DEPLOYMENT = "imagelane"

Port = Annotated[int, Field(ge=0, le=65_535)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


NO_JSON: Final = {
    "dict_type": "must be a JSON object",
    **dict.fromkeys(
        ("list_type", "tuple_type", "set_type", "frozen_set_type"), "must be a JSON list"
    ),
}
"""What the validation calls a valid dictionary or tuple, in the words of who sets a variable."""


class SettingsError(Exception):
    """Settings are missing or wrong; the message names each environment variable."""


class SettingsGroup(BaseModel):
    """A group of settings that several services share; unknown names in it are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(KafkaAccess):
    """How to reach the broker, and what the deployment's topics and groups are called."""

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


class _AsItCame(EnvSettingsSource):
    """Leaves a value that is no JSON as it is, so that the validation refuses it by its variable's name."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """The value that the JSON stands for, or the text."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class _OfFileAsItCame(DotEnvSettingsSource, _AsItCame):
    """The same for a file of variables."""


class EnvironmentSettings(BaseSettings):
    """Read from variables that begin with `IMAGELANE_`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_NESTED, frozen=True, extra="ignore"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then a file of variables where one is given."""
        file = (
            dotenv_settings.env_file if isinstance(dotenv_settings, DotEnvSettingsSource) else None
        )
        return init_settings, _AsItCame(settings_cls), _OfFileAsItCame(settings_cls, env_file=file)


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


def load(settings: type[Settings], *, environment_file: Path | None = None) -> Settings:
    """The settings from the environment, and below it from a file of `NAME=value` lines, if one is given.

    Raises `SettingsError` that names every wrong variable.
    """
    try:
        return settings(_env_file=environment_file)
    except ValidationError as error:
        wrong = [
            f"  {variable_of(place)}: {reason.removeprefix('Value error, ')}"
            for place, reason in _faults(settings, error)
        ]
        raise SettingsError("settings are missing or wrong:\n" + "\n".join(wrong)) from None


def _faults(
    settings: type[BaseModel], error: ValidationError
) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Place and reason of each; of a group that is missing as a whole, what it needs."""
    for one in error.errors():
        place = one["loc"]
        field = settings.model_fields.get(str(place[0])) if len(place) == 1 else None
        group = None if field is None or one["type"] != "missing" else field.annotation
        needed = _needed(group) if isinstance(group, type) else []
        told = NO_JSON.get(one["type"], one["msg"])
        yield from (((*place, *inner), reason) for inner, reason in needed or [((), told)])


def _needed(group: type[object]) -> list[tuple[tuple[int | str, ...], str]]:
    if not issubclass(group, BaseModel):
        return []
    try:
        group.model_validate({})
    except ValidationError as error:
        return list(_faults(group, error))
    return []


def load_or_exit(settings: type[Settings]) -> Settings:
    """As `load`; prints the error and exits with 2, as for any wrong usage."""
    try:
        return load(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
