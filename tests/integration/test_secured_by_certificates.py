"""A broker that knows clients by their certificates, as in the cluster: librdkafka's clients and the batcher's."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from tests.conftest import CACHE
from tests.hostile.certificates import Authority

from imagelane.ops import topics
from imagelane.ops.access_lists import AccessLists
from imagelane.ops.broker import EmbeddedBroker, broker_home
from imagelane.ops.broker.secured import BrokerSecurity, make_certificate
from imagelane.ops.broker.server import free_port
from imagelane.platform.groups import KafkaStartError, require_topics
from imagelane.platform.kafka_security import SecuritySettings
from imagelane.platform.settings import KafkaSettings

ADMIN: Final = "imagelane-admin"
READY_SECONDS: Final = 120.0
PRINCIPALS: Final = "User:CN=imagelane-{service}"  # as the user operator of Strimzi calls them


@dataclass(frozen=True)
class Deployment:
    """A broker, and the certificates of who may talk with it."""

    folder: Path
    authority: Authority
    servers: str

    def known_as(self, name: str, signer: Authority | None = None) -> KafkaSettings:
        """The broker's settings for a client with this common name."""
        certificate, key = (signer or self.authority).client(name)
        return KafkaSettings(
            bootstrap_servers=self.servers,
            strict_partitions=2,
            spread_partitions=2,
            security=SecuritySettings(
                protocol="ssl",
                ca_file=self.folder / "tls" / "broker.pem",
                certificate_file=certificate,
                key_file=key,
            ),
        )


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("certificates")
    home, authority = broker_home(CACHE, print), Authority.made(folder)
    certificate = make_certificate(home, folder / "tls")
    described = Deployment(folder, authority, "localhost:1")
    security = BrokerSecurity(
        certificate, described.known_as(ADMIN).security, f"CN={ADMIN}", authority.ca_file
    )
    broker = EmbeddedBroker(home, folder / "kafka", security=security)
    broker.start()
    try:
        made = Deployment(folder, authority, broker.bootstrap_servers)
        AccessLists(made.known_as(ADMIN), PRINCIPALS).apply()
        assert topics.apply(made.known_as("imagelane-ops"), lambda _text: None) == []
        yield made
    finally:
        broker.stop()


@pytest.mark.parametrize("service", ["batcher", "notifier"])
async def test_a_service_is_ready_with_a_certificate_alone(
    deployment: Deployment, service: str
) -> None:
    async with _running(service, deployment) as url:
        await _until_ready(url)


def test_a_certificate_of_another_authority_opens_nothing(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagelane.platform.groups.REACH_SECONDS", 5.0)
    stranger = deployment.known_as("imagelane-batcher", Authority.made(tmp_path))
    with pytest.raises(KafkaStartError, match=deployment.servers):
        require_topics(stranger, [])


@asynccontextmanager
async def _running(service: str, deployment: Deployment) -> AsyncIterator[str]:
    """The service as a process of its own; where its probes are."""
    kafka, port = deployment.known_as(f"imagelane-{service}"), free_port()
    parts = kafka.security.model_dump(mode="json", exclude_defaults=True)
    (deployment.folder / "notify").write_text("whsec_" + "QUJDRA" * 6 + "QUJD")
    environment = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "IMAGELANE_KAFKA__STRICT_PARTITIONS": "2",
        "IMAGELANE_KAFKA__SPREAD_PARTITIONS": "2",
        "IMAGELANE_HEALTH__PORT": str(port),
        "IMAGELANE_NOTIFY_SIGNING__SECRET_FILES": json.dumps([str(deployment.folder / "notify")]),
        **{f"IMAGELANE_KAFKA__SECURITY__{name.upper()}": value for name, value in parts.items()},
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"imagelane.{service}"),
        env={**os.environ, **environment},  # noqa: TID251 - the child inherits ours
    )
    try:
        yield f"http://127.0.0.1:{port}/readyz"
        assert process.returncode is None
    finally:
        if process.returncode is None:
            process.terminate()
        assert await asyncio.wait_for(process.wait(), READY_SECONDS) == 0


async def _until_ready(url: str) -> None:
    said = "nothing"
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    async with aiohttp.ClientSession() as session:
        while asyncio.get_running_loop().time() < deadline:
            try:
                async with session.get(url) as answer:
                    said = await answer.text()
                    if answer.status == 200:
                        return
            except aiohttp.ClientError as error:
                said = str(error)
            await asyncio.sleep(0.1)
    raise AssertionError(f"not ready within {READY_SECONDS:.0f} s: {said}")
