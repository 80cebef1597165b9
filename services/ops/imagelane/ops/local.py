"""All parts on this machine: a real broker, every service as its own process, and a stand-in API."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from imagelane.ops import key_records, local_kafka, local_postgresql, local_s3, topics
from imagelane.ops.broker import BrokerSetupError
from imagelane.ops.broker.server import HOST
from imagelane.ops.local_environment import keep_environment
from imagelane.ops.local_programs import operator_environment, programs, workers_of
from imagelane.ops.local_s3 import LocalStore
from imagelane.ops.local_stack import SERVICES, LocalOptions, LocalSetupError, LocalStack, Standin
from imagelane.ops.ports import remembered_ports, some_ports
from imagelane.ops.supervisor import Say, Supervisor
from imagelane.platform.settings import KafkaSettings

__all__: Final = [
    "SERVICES",
    "LocalOptions",
    "LocalSetupError",
    "LocalStack",
    "Standin",
    "programs",
    "running",
]

LAST: Final = (local_s3.NAME, local_postgresql.NAME, local_kafka.NAME)
"""What services stand on ends after them."""
READY_SECONDS: Final = 60.0


@asynccontextmanager
async def running(options: LocalOptions, *, tell: Say, output: Say) -> AsyncIterator[LocalStack]:
    """Starts everything, and ends it with the block. `tell` hears what is done, `output` every line.

    Raises `BrokerSetupError`, `AccessError`, `LocalSetupError`, `topics.TopicsError` or `ProgramError`
    with what is missing or wrong.
    """
    data = options.data.absolute()
    logs = data / "logs"
    supervisor = Supervisor(logs, say=output)
    ports = remembered_ports(data / "ports.json", _ports_wanted(options))
    keys = _secrets(data / "secrets")
    gateway_url = f"http://{HOST}:{ports['gateway']}"
    try:
        store = await _start_store(options, supervisor, ports, keys, tell)
        database = await _start_database(options, supervisor, ports, keys, tell)
        broker, kafka = await local_kafka.start_broker(options, supervisor, tell)
        await _apply_topics(kafka, options.deployment_id, tell)
        await _keep_operator_key(kafka, data / "secrets" / "operator-key", tell)
        stack = LocalStack(
            options=options,
            supervisor=supervisor,
            broker=broker,
            kafka=kafka,
            environment=store.environment | database,
            gateway_url=gateway_url,
            batch_api_url=options.batch_api_url or f"http://{HOST}:{ports['standin']}/v1",
            public_base_url=store.public_base_url,
            journal=data / "journal.ndjson",
            results=store.results,
            logs=logs,
            health_ports=some_ports(workers_of(options)),
        )
        keep_environment(data, operator_environment(stack, ports, keys), stack.health_ports)
        for program in programs(stack, ports, keys):
            supervisor.start(program)
        waited = {"gateway": ports["gateway"]}
        if options.batch_api_url is None:
            waited["standin"] = ports["standin"]
        await _until_listening(supervisor, waited)
        tell("local", "all parts are started")
        yield stack
    finally:
        await supervisor.stop_all(last=LAST)


async def _start_store(
    options: LocalOptions,
    supervisor: Supervisor,
    ports: dict[str, int],
    keys: dict[str, Path],
    tell: Say,
) -> LocalStore:
    if options.object_store == "directory":
        return local_s3.in_directory(options, f"http://{HOST}:{ports['gateway']}")
    return await local_s3.in_s3(
        options,
        port=ports[local_s3.NAME],
        secret_file=keys["s3"],
        supervisor=supervisor,
        tell=tell,
    )


async def _start_database(
    options: LocalOptions,
    supervisor: Supervisor,
    ports: dict[str, int],
    keys: dict[str, Path],
    tell: Say,
) -> dict[str, str]:
    data = options.data.absolute()
    if options.database == "sqlite":
        return local_postgresql.in_file(data)
    return await local_postgresql.in_postgresql(
        data,
        port=ports[local_postgresql.NAME],
        password_file=keys["database"],
        supervisor=supervisor,
        tell=tell,
    )


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


def _ports_wanted(options: LocalOptions) -> list[str]:
    wanted = ["gateway", "standin"]
    if options.object_store == "s3":
        wanted.append(local_s3.NAME)
    if options.database == "postgresql":
        wanted.append(local_postgresql.NAME)
    return wanted


def _secrets(folder: Path) -> dict[str, Path]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = {
        "deployment": secrets.token_urlsafe(32),
        "token": secrets.token_urlsafe(32),
        "notify": secrets.token_urlsafe(32),
        "webhook": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "s3": secrets.token_urlsafe(32),
        "database": secrets.token_urlsafe(32),
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
