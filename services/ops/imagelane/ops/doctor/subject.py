"""What the doctor looks at: whatever of the deployment's settings is set where it runs.

Each group of settings is read by itself, so that a wrong one hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from imagelane.dispatcher.settings import BatchApiSettings, DispatcherSettings
from imagelane.ops.doctor.core.findings import Finding
from imagelane.platform.settings import (
    DEFAULT_DEPLOYMENT,
    EnvironmentSettings,
    KafkaSettings,
    SettingsError,
    load,
    variable_of,
)
from imagelane.platform.store_settings import StoreSettings
from imagelane.tracking.database import DatabaseSettings

CORRECT: Final = "correct the variable: docs/configuration.md"


class _OfKafka(EnvironmentSettings):
    kafka: KafkaSettings | None = None
    deployment_id: str = DEFAULT_DEPLOYMENT


class _OfStore(EnvironmentSettings):
    store: StoreSettings | None = None


class _OfDatabase(EnvironmentSettings):
    database: DatabaseSettings | None = None


class _OfBatchApi(EnvironmentSettings):
    batch_api: BatchApiSettings | None = None


class _OfDispatcher(EnvironmentSettings):
    dispatcher: DispatcherSettings | None = None


class _Loose(BaseModel):
    """Only what is asked for of a group: the files that it names, whether they are there or not."""

    model_config = ConfigDict(extra="ignore")


class _FileSecret(_Loose):
    deployment_secret_file: Path | None = None
    webhook_secret_files: list[Path] = Field(default_factory=list)
    secret_files: list[Path] = Field(default_factory=list)
    token_file: Path | None = None
    secret_access_key_file: Path | None = None
    key_file: Path | None = None
    password_file: Path | None = None


class _StoreSecrets(_Loose):
    s3: _FileSecret = _FileSecret()


class _KafkaSecrets(_Loose):
    security: _FileSecret = _FileSecret()


class _Secrets(EnvironmentSettings):
    intake: _FileSecret = _FileSecret()
    gateway: _FileSecret = _FileSecret()
    notify_signing: _FileSecret = _FileSecret()
    batch_api: _FileSecret = _FileSecret()
    database: _FileSecret = _FileSecret()
    store: _StoreSecrets = _StoreSecrets()
    kafka: _KafkaSecrets = _KafkaSecrets()


class _OfDoctor(EnvironmentSettings):
    doctor_services: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """A deployment as its settings tell of it. None is what is not set here, or set wrong: see `wrong`."""

    kafka: KafkaSettings | None = None
    deployment_id: str = DEFAULT_DEPLOYMENT
    store: StoreSettings | None = None
    database: DatabaseSettings | None = None
    batch_api: BatchApiSettings | None = None
    dispatcher: DispatcherSettings | None = None
    secret_files: tuple[tuple[str, Path], ...] = ()
    wrong: tuple[Finding, ...] = ()
    services: Mapping[str, str] = field(default_factory=dict)
    """Where each service serves its probes, by name."""
    login: str = "ops"
    """Whose login to the broker this is: a service's, or a person's."""

    @property
    def is_empty(self) -> bool:
        """Nothing is set here that could be looked at."""
        named = (self.kafka, self.store, self.database, self.batch_api, self.dispatcher)
        return not (any(named) or self.wrong or self.services or self.secret_files)


S = TypeVar("S", bound=EnvironmentSettings)


def subject(environment_file: Path | None, *, services: Mapping[str, str], login: str) -> Subject:
    """From the environment, and below it from a file of `NAME=value` lines."""
    wrong: list[Finding] = []

    def part(kind: type[S]) -> S | None:
        try:
            return load(kind, environment_file=environment_file)
        except SettingsError as error:
            wrong.extend(_findings_in(error))
            return None

    kafka, store, database = part(_OfKafka), part(_OfStore), part(_OfDatabase)
    batch_api, dispatcher, secrets = part(_OfBatchApi), part(_OfDispatcher), part(_Secrets)
    doctor = part(_OfDoctor)
    return Subject(
        kafka=kafka.kafka if kafka else None,
        deployment_id=kafka.deployment_id if kafka else DEFAULT_DEPLOYMENT,
        store=store.store if store else None,
        database=database.database if database else None,
        batch_api=batch_api.batch_api if batch_api else None,
        dispatcher=dispatcher.dispatcher if dispatcher else None,
        secret_files=tuple(_files_in(secrets)) if secrets else (),
        wrong=tuple(wrong),
        services={**(doctor.doctor_services if doctor else {}), **services},
        login=login,
    )


def _findings_in(error: SettingsError) -> Iterator[Finding]:
    """One for each variable: the error has a line for each, below its first."""
    for line in str(error).splitlines()[1:]:
        variable, _, what = line.strip().partition(": ")
        yield Finding(variable, what, CORRECT)


def _files_in(group: BaseModel, at: tuple[str, ...] = ()) -> Iterator[tuple[str, Path]]:
    for name in type(group).model_fields:
        value, place = getattr(group, name), (*at, name)
        if isinstance(value, BaseModel):
            yield from _files_in(value, place)
        elif isinstance(value, Path):
            yield variable_of(place), value
        elif isinstance(value, list):
            yield from ((variable_of(place), one) for one in value)
