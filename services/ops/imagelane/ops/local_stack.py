"""A stack on this machine: what is wanted of it, and what it has become."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from imagelane.ops.broker import EmbeddedBroker
from imagelane.ops.supervisor import Supervisor
from imagelane.platform.settings import DEFAULT_DEPLOYMENT, KafkaSettings

SERVICES: Final = (
    *("intake", "downloader", "processor", "batcher"),
    *("dispatcher", "tracker", "notifier"),
)

ObjectStoreKind = Literal["directory", "s3"]
ResultAccess = Literal["public", "presigned"]
DatabaseKind = Literal["sqlite", "postgresql"]
KafkaSecurityKind = Literal["plaintext", "scram"]


class LocalSetupError(Exception):
    """A part cannot be set up or started; the message names what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Standin:
    """How the stand-in of the batch API behaves: a call of n URLs takes base + n * per-url seconds."""

    base_seconds: float = 1.0
    per_url_seconds: float = 0.002
    fetch: str = "get"
    level: str = "A"
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """What to start. Everything that lasts lies in `data`: a second start goes on from there."""

    data: Path
    cache: Path
    kafka_port: int = 0
    object_store: ObjectStoreKind = "directory"
    result_access: ResultAccess = "public"
    database: DatabaseKind = "sqlite"
    kafka_security: KafkaSecurityKind = "plaintext"
    batch_api_url: str | None = None
    standin: Standin = Standin()
    loopback_sources: bool = False
    webhooks: bool = True
    workers: dict[str, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    environment_of: dict[str, dict[str, str]] = field(default_factory=dict)
    """What else is set for all workers of a service, or for one of them: by name."""
    kafka_proxied: tuple[int, int] | None = None
    """A listener more, for a proxy of the test's: where it listens, and what it tells clients."""
    strict_partitions: int = 12
    deployment_id: str = DEFAULT_DEPLOYMENT


@dataclass(frozen=True, slots=True)
class LocalStack:
    """What runs, and where."""

    options: LocalOptions
    supervisor: Supervisor
    broker: EmbeddedBroker
    kafka: KafkaSettings
    """As the command line uses the broker."""
    environment: dict[str, str]
    """What the object store and the database are, as every service is told."""
    gateway_url: str
    batch_api_url: str
    public_base_url: str
    """Before `/<job_id>/<index>/<output>.<ext>`."""
    journal: Path
    results: Path
    """The folder in which they lie as files, whatever serves them."""
    logs: Path
    health_ports: dict[str, int] = field(default_factory=dict)
    """Where each worker serves its probes and metrics, by its name."""

    def names_of(self, service: str) -> list[str]:
        """The names of a service's processes."""
        return worker_names(service, self.options.workers.get(service, 1))


def worker_names(service: str, workers: int) -> list[str]:
    """`downloader`, or `downloader-1`, `downloader-2` … where there are several."""
    return [service] if workers == 1 else [f"{service}-{n}" for n in range(1, workers + 1)]
