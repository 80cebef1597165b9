"""All parts on this machine: a real broker, every service as its own process, and a stand-in API."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from imagelane.ops import key_records, topics
from imagelane.ops.broker import BrokerSetupError, EmbeddedBroker, broker_home
from imagelane.ops.broker.server import HOST
from imagelane.ops.ports import remembered_ports, some_ports
from imagelane.ops.supervisor import Program, Say, Supervisor
from imagelane.platform.settings import DEFAULT_DEPLOYMENT, KafkaSettings

SERVICES: Final = (
    *("intake", "downloader", "processor", "batcher"),
    *("dispatcher", "tracker", "notifier"),
)
PORTS_WANTED: Final = ("gateway", "standin")
READY_SECONDS: Final = 60.0


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
    gateway_url: str
    batch_api_url: str
    journal: Path
    results: Path
    logs: Path
    health_ports: dict[str, int] = field(default_factory=dict)
    """Where each worker serves its probes and metrics, by its name."""

    def names_of(self, service: str) -> list[str]:
        """The names of a service's processes."""
        return worker_names(service, self.options.workers.get(service, 1))


def worker_names(service: str, workers: int) -> list[str]:
    """`downloader`, or `downloader-1`, `downloader-2` … where there are several."""
    return [service] if workers == 1 else [f"{service}-{n}" for n in range(1, workers + 1)]


@asynccontextmanager
async def running(options: LocalOptions, *, tell: Say, output: Say) -> AsyncIterator[LocalStack]:
    """Starts everything, and ends it with the block. `tell` hears what is done, `output` every line.

    Raises `BrokerSetupError`, `topics.TopicsError` or `ProgramError` with what is missing or wrong.
    """
    data = options.data.absolute()
    logs = data / "logs"
    supervisor = Supervisor(logs, say=output)
    ports = remembered_ports(data / "ports.json", PORTS_WANTED)
    keys = _secrets(data / "secrets")
    try:
        broker = await _start_broker(options, supervisor, tell)
        kafka = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers,
            strict_partitions=options.strict_partitions,
            spread_partitions=options.strict_partitions,
        )
        await _apply_topics(kafka, options.deployment_id, tell)
        await _keep_operator_key(kafka, data / "secrets" / "operator-key", tell)
        stack = LocalStack(
            options=options,
            supervisor=supervisor,
            broker=broker,
            kafka=kafka,
            gateway_url=f"http://{HOST}:{ports['gateway']}",
            batch_api_url=options.batch_api_url or f"http://{HOST}:{ports['standin']}/v1",
            journal=data / "journal.ndjson",
            results=data / "results",
            logs=logs,
            health_ports=some_ports(_workers(options)),
        )
        for program in programs(stack, ports, keys):
            supervisor.start(program)
        waited = {"gateway": ports["gateway"]}
        if options.batch_api_url is None:
            waited["standin"] = ports["standin"]
        await _until_listening(supervisor, waited)
        tell("local", "all parts are started")
        yield stack
    finally:
        await supervisor.stop_all(last=("kafka",))


def programs(stack: LocalStack, ports: dict[str, int], keys: dict[str, Path]) -> list[Program]:
    """Every process but the broker."""
    environment = _environment(stack, ports, keys)
    made = []
    if stack.options.batch_api_url is None:
        made.append(_standin(stack, ports, keys))
    signing = {"IMAGELANE_NOTIFY_SIGNING__SECRET_FILES": json.dumps([str(keys["notify"])])}
    made.append(_service("gateway", "gateway", environment | _health(stack, "gateway") | signing))
    for service in SERVICES:
        for name in stack.names_of(service):
            own = {"IMAGELANE_DISPATCHER__WORKER_NAME": name} if service == "dispatcher" else {}
            own |= signing if service == "notifier" else {}
            for whose in dict.fromkeys((service, name)):
                own |= stack.options.environment_of.get(whose, {})
            made.append(_service(service, name, environment | _health(stack, name) | own))
    return made


def _service(service: str, name: str, environment: dict[str, str]) -> Program:
    command = (sys.executable, "-m", f"imagelane.{service}")
    return Program(name, command, environment)


def _standin(stack: LocalStack, ports: dict[str, int], keys: dict[str, Path]) -> Program:
    wanted = stack.options.standin
    values = {
        "--journal": stack.journal,
        "--port": ports["standin"],
        "--level": wanted.level,
        "--base-seconds": wanted.base_seconds,
        "--per-url-seconds": wanted.per_url_seconds,
        "--fetch": wanted.fetch,
        "--webhook-secret-file": keys["webhook"],
        "--token-file": keys["token"],
    }
    arguments = [str(part) for pair in values.items() for part in pair]
    command = (sys.executable, "-m", "imagelane.standin", *arguments, *wanted.arguments)
    return Program("standin", command)


def _environment(stack: LocalStack, ports: dict[str, int], keys: dict[str, Path]) -> dict[str, str]:
    destination = {
        "kind": "directory",
        "directory": str(stack.results),
        "public_base_url": f"{stack.gateway_url}/public/default",
    }
    names = {
        "DEPLOYMENT_ID": stack.options.deployment_id,
        "KAFKA__BOOTSTRAP_SERVERS": stack.kafka.bootstrap_servers,
        "KAFKA__STRICT_PARTITIONS": str(stack.kafka.strict_partitions),
        "KAFKA__SPREAD_PARTITIONS": str(stack.kafka.spread_partitions),
        "STORE__PRIVATE_DIRECTORY": str(stack.results.parent / "private"),
        "STORE__DESTINATIONS": json.dumps({"default": destination}),
        "DATABASE__URL": f"sqlite:///{stack.results.parent / 'tracker.sqlite'}",
        "INTAKE__DEPLOYMENT_SECRET_FILE": str(keys["deployment"]),
        "GATEWAY__PORT": str(ports["gateway"]),
        "GATEWAY__DEPLOYMENT_SECRET_FILE": str(keys["deployment"]),
        "GATEWAY__WEBHOOK_SECRET_FILES": json.dumps([str(keys["webhook"])]),
        "NOTIFY__ALLOW_HTTP": "true",
        "DISPATCHER__CAPABILITIES": stack.options.standin.level,
        "BATCH_API__BASE_URL": stack.batch_api_url,
        "BATCH_API__TOKEN_FILE": str(keys["token"]),
    }
    if stack.options.webhooks:
        names["DISPATCHER__CALLBACK_URL"] = f"{stack.gateway_url}/v1/callbacks/batch"
    if stack.options.loopback_sources:
        names["HTTP__ALLOWED_NETWORKS"] = json.dumps(["127.0.0.0/8"])
    return {f"IMAGELANE_{name}": value for name, value in names.items()} | stack.options.environment


async def _start_broker(options: LocalOptions, supervisor: Supervisor, tell: Say) -> EmbeddedBroker:
    home = await asyncio.to_thread(broker_home, options.cache, lambda text: tell("kafka", text))
    broker = EmbeddedBroker(
        home, options.data / "kafka", port=options.kafka_port, proxied=options.kafka_proxied
    )
    await asyncio.to_thread(broker.prepare)
    supervisor.start(Program("kafka", tuple(broker.command), stop_seconds=20.0))
    await asyncio.to_thread(broker.wait_ready)
    tell("kafka", f"Apache Kafka answers at {broker.bootstrap_servers}")
    return broker


async def _apply_topics(kafka: KafkaSettings, deployment_id: str, tell: Say) -> None:
    differences = await asyncio.to_thread(
        topics.apply, kafka, lambda _text: None, deployment_id=deployment_id
    )
    if differences:
        raise topics.TopicsError("\n".join(map(str, differences)))
    tell("topics", f"{kafka.strict_partitions} partitions each; all as their files say")


async def _keep_operator_key(kafka: KafkaSettings, file: Path, tell: Say) -> None:
    new = await asyncio.to_thread(key_records.keep_local_operator, kafka, file)
    if new is not None:
        tell("key", f"export IMAGELANE_API_KEY={new}  # an operator's, shown this once")


def _workers(options: LocalOptions) -> list[str]:
    """The names of all processes that have a health port."""
    counts = options.workers
    named = [worker_names(service, counts.get(service, 1)) for service in SERVICES]
    return ["gateway", *(name for names in named for name in names)]


def _health(stack: LocalStack, name: str) -> dict[str, str]:
    return {"IMAGELANE_HEALTH__PORT": str(stack.health_ports[name])}


def _secrets(folder: Path) -> dict[str, Path]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = {
        "deployment": secrets.token_urlsafe(32),
        "token": secrets.token_urlsafe(32),
        "notify": secrets.token_urlsafe(32),
        "webhook": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    for name, secret in made.items():
        path = folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secret, encoding="utf-8")
    return {name: folder / name for name in made}


async def _until_listening(supervisor: Supervisor, ports: dict[str, int]) -> None:
    async def listening(port: int) -> None:
        while True:
            try:
                _reader, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return

    everything = asyncio.ensure_future(asyncio.gather(*map(listening, ports.values())))
    waited: set[asyncio.Future[Any]] = {everything, supervisor.refused}
    done, _ = await asyncio.wait(waited, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if everything not in done:
        everything.cancel()
    if supervisor.refused in done:
        supervisor.refused.result()
    if not done:
        names = ", ".join(ports)
        raise BrokerSetupError(f"{names} did not start within {READY_SECONDS:.0f} s; see the logs")
