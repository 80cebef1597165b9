"""Starts a stack as a fault needs it, with our proxies before the external API and before the broker."""

from __future__ import annotations

import asyncio
import json
import signal
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import ClientSession
from confluent_kafka import Producer
from tests.chaos.history import History
from tests.chaos.object_store import BUCKET, Store, object_store
from tests.chaos.onlooker import Onlooker
from tests.chaos.proxy import proxying
from tests.chaos.system import System
from tests.e2e.images import Images

from imagelane.ops.broker.server import free_port
from imagelane.ops.local import LocalOptions, Standin, running

CACHE: Final = Path.home() / ".cache" / "imagelane"
SESSION_SECONDS: Final = 6.0
SMALL_DISK_MIB: Final = 8
CLOCK_SOURCE: Final = Path(__file__).with_name("clock.c")
SETTINGS: Final = {
    "PYTHONFAULTHANDLER": "1",
    "IMAGELANE_KAFKA__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
    "IMAGELANE_KAFKA__UNREADABLE_RATIO": "1",
    "IMAGELANE_BATCHER__SWEEP_AFTER_SECONDS": "0",
    "IMAGELANE_BATCHER__FIRST_CALL_IMAGES": "40",
    "IMAGELANE_BATCHER__LINGER_SECONDS": "5",
    "IMAGELANE_BATCHER__RESEND_AFTER_SECONDS": "10",
    "IMAGELANE_INTAKE__MAX_UNREAD": "500",
    "IMAGELANE_INTAKE__LAG_SECONDS": "0.1",
    "IMAGELANE_BATCH_API__START_SECONDS": "3",
    "IMAGELANE_BATCH_API__LOOK_SECONDS": "3",
    "IMAGELANE_DISPATCHER__RETRY_MAX_SECONDS": "3",
    "IMAGELANE_DISPATCHER__DRAIN_SECONDS": "8",
    "IMAGELANE_DISPATCHER__HOLD_SECONDS": "3",
}
"""As a deployment's, but quicker. The sweep is off, so that nothing lost can heal by it; and so is the stop in a
flood of unreadable records, since F23 and F33 bring far more of them than anybody would meet."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a fault needs to run on; equal ones may share a stack."""

    level: str = "A"
    workers: tuple[tuple[str, int], ...] = (("batcher", 3), ("dispatcher", 2))
    environment: tuple[tuple[str, str], ...] = ()
    behind_proxy: tuple[str, ...] = ()
    """Services that reach the broker through the proxy."""
    call_seconds: float = 0.5
    false_clock: bool = False
    """The services' wall clock can be set, by `set_clock`."""
    small_disk: bool = False
    """Lists and originals lie in a file system of a few MiB (needs root)."""
    object_store: bool = False
    """Results lie in an S3 bucket, which can be made to fail."""
    fetch_patience_seconds: int = 60
    """How long the external API waits for an image that it cannot read."""


@asynccontextmanager
async def started(setup: Setup, folder: Path, images: Images) -> AsyncIterator[System]:
    """A stack for the block. Everything it leaves lies in the folder."""
    ports = {name: free_port() for name in ("gateway", "standin", "api", "kafka", "kafka_behind")}
    kept = {name: ports[name] for name in ("gateway", "standin")}
    (folder / "ports.json").write_text(json.dumps(kept))
    if setup.false_clock:
        await make_clock(folder)
    endings: list[str] = []

    def output(name: str, line: str) -> None:
        if line.startswith(("ended with", "did not end")):
            endings.append(f"{time.monotonic():.1f} {name} {line}")

    async with (
        small_disk(folder / "private", wanted=setup.small_disk),
        bucket_store(folder, wanted=setup.object_store) as store,
        proxying(ports["standin"], ports["api"]) as api,
        proxying(ports["kafka_behind"], ports["kafka"]) as kafka,
        running(_options(setup, folder, ports, store), tell=_silent, output=output) as stack,
        ClientSession() as http,
    ):
        history = History(folder / "history.jsonl")
        onlooker = Onlooker(stack.kafka.bootstrap_servers, folder / "records.jsonl")
        client: dict[str, str | int] = {
            "bootstrap.servers": stack.kafka.bootstrap_servers,
            "log_level": 0,
            "partitioner": "consistent_random",  # not ours, on purpose
        }
        producer = Producer(client)
        system = System(
            stack, images, history, onlooker, producer, api, kafka, http, endings, store=store
        )
        try:
            yield system
        finally:
            for name in stack.supervisor.starts:
                if system.is_stopped(name):
                    stack.supervisor.kill(name, signal.SIGCONT)
            onlooker.close()
            history.close()


async def make_clock(folder: Path) -> None:
    """The library that sets services' wall clocks, and the file that tells it by how much."""
    set_clock(folder, 0)
    library = str(folder / "clock.so")
    await _ran("cc", "-O2", "-shared", "-fPIC", "-o", library, str(CLOCK_SOURCE), "-ldl")


def set_clock(folder: Path, seconds: int) -> None:
    """From now on every service's wall clock is so many seconds ahead."""
    with (folder / "clock").open("r+b" if (folder / "clock").exists() else "wb") as file:
        file.write(struct.pack("q", seconds))


@asynccontextmanager
async def small_disk(folder: Path, *, wanted: bool) -> AsyncIterator[None]:
    """A file system of its own for the block."""
    if not wanted:
        yield
        return
    await _ran("mkdir", str(folder))
    await _ran("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MIB}m", "tmpfs", str(folder))
    try:
        yield
    finally:
        await _ran("umount", str(folder))


@asynccontextmanager
async def bucket_store(folder: Path, *, wanted: bool) -> AsyncIterator[Store | None]:
    """An object store for the block, if it is wanted."""
    if not wanted:
        yield None
        return
    (folder / "s3-secret").write_text("made-up")
    async with object_store(free_port(), folder / "s3.log") as store:
        yield store


def in_bucket(folder: Path, store: Store) -> dict[str, str]:
    """The settings of services whose results lie there."""
    destination = {"kind": "s3", "bucket": BUCKET, "public_base_url": f"{store.url}/{BUCKET}"}
    return {
        "IMAGELANE_STORE__DESTINATIONS": json.dumps({"default": destination}),
        "IMAGELANE_STORE__S3__ENDPOINT_URL": store.url,
        "IMAGELANE_STORE__S3__ACCESS_KEY_ID": "made-up",
        "IMAGELANE_STORE__S3__SECRET_ACCESS_KEY_FILE": str(folder / "s3-secret"),
        "IMAGELANE_STORE__S3__PATH_STYLE": "true",
    }


async def _ran(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command


def _options(
    setup: Setup, folder: Path, ports: dict[str, int], store: Store | None
) -> LocalOptions:
    through = {"IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['kafka']}"}
    api = {"IMAGELANE_BATCH_API__BASE_URL": f"http://127.0.0.1:{ports['api']}/v1"}
    false = {"LD_PRELOAD": str(folder / "clock.so"), "CHAOS_CLOCK": str(folder / "clock")}
    clock = false if setup.false_clock else {}
    bucket = {} if store is None else in_bucket(folder, store)
    return LocalOptions(
        data=folder,
        cache=CACHE,
        loopback_sources=True,
        standin=Standin(
            base_seconds=setup.call_seconds,
            per_url_seconds=0.0005,
            level=setup.level,
            arguments=("--fetch-patience-seconds", str(setup.fetch_patience_seconds)),
        ),
        workers=dict(setup.workers),
        environment=SETTINGS | api | clock | bucket | dict(setup.environment),
        environment_of=dict.fromkeys(setup.behind_proxy, through),
        kafka_proxied=(ports["kafka_behind"], ports["kafka"]),
        strict_partitions=12,
    )


def _silent(_name: str, _line: str) -> None:
    return
