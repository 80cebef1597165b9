"""The gateway as a process of its own, on the session's real broker."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imagelane.platform.settings import KafkaSettings

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
DEPLOYMENT_SECRET = "a secret of the deployment"


@asynccontextmanager
async def gateway(kafka: KafkaSettings, folder: Path) -> AsyncIterator[str]:
    """The gateway's address, once it says that it is ready. It has to end well, too."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    destination = {
        "directory": str(folder / "public"),
        "public_base_url": "http://127.0.0.1/public",
    }
    settings = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "IMAGELANE_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "IMAGELANE_KAFKA__STRICT_PARTITIONS": str(kafka.strict_partitions),
        "IMAGELANE_KAFKA__SPREAD_PARTITIONS": str(kafka.spread_partitions),
        "IMAGELANE_STORE__PRIVATE_DIRECTORY": str(folder / "private"),
        "IMAGELANE_STORE__DESTINATIONS": json.dumps({"default": destination}),
        "IMAGELANE_DATABASE__URL": f"sqlite:///{folder}/tracker.sqlite",
        "IMAGELANE_GATEWAY__PORT": "0",
        "IMAGELANE_GATEWAY__DEPLOYMENT_SECRET": DEPLOYMENT_SECRET,
        "IMAGELANE_GATEWAY__KAFKA_SECONDS": "2",
        "IMAGELANE_GATEWAY__WEBHOOK_SECRET_FILES": json.dumps([str(secret)]),
        "IMAGELANE_LOG__FORM": "json",
    }
    with (folder / "gateway.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "imagelane.gateway"), env=settings, stderr=log
        )
    try:
        yield await ready_url(process, folder / "gateway.log")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await process.wait() == 0, (folder / "gateway.log").read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready_url(process: asyncio.subprocess.Process, log: Path) -> str:
    for _ in range(3_000):
        if (url := url_in(log)) is not None:
            return url
        assert process.returncode is None, "the gateway has ended; see its log"
        await asyncio.sleep(0.01)
    pytest.fail("the gateway is not ready")


def url_in(log: Path) -> str | None:
    lines = [one for one in log.read_text().splitlines() if '"gateway.ready"' in one]
    return str(json.loads(lines[0])["url"]) if lines else None
