"""The gateway's health, settings and start."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr
from standardwebhooks import Webhook
from tests.unit.gateway.conftest import DEPLOYMENT_SECRET, OLD_SECRET, SECRET, Start

from imagelane.gateway.app import folders_of, listening, run, secrets_in
from imagelane.gateway.public_files import PublicFolder
from imagelane.gateway.settings import GatewaySettings, Settings
from imagelane.platform.settings import SettingsError, load
from imagelane.platform.store_settings import DestinationSettings


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("IMAGELANE_STORE__PRIVATE_DIRECTORY", str(tmp_path / "private"))
    monkeypatch.setenv(
        "IMAGELANE_STORE__DESTINATIONS",
        f'{{"default": {{"directory": "{tmp_path}/public", "public_base_url": "http://127.0.0.1:8080/p"}}}}',
    )
    monkeypatch.setenv("IMAGELANE_DATABASE__URL", f"sqlite:///{tmp_path}/tracker.sqlite")
    monkeypatch.setenv("IMAGELANE_GATEWAY__DEPLOYMENT_SECRET", DEPLOYMENT_SECRET)
    return monkeypatch


async def test_it_lives_whatever_the_broker_does(start: Start) -> None:
    async with start() as gateway:
        gateway.kafka.reachable = False
        async with gateway.session.get(f"{gateway.url}/livez") as answer:
            assert answer.status == 200


async def test_it_is_ready_while_the_broker_answers_and_asks_it_seldom(start: Start) -> None:
    async with start() as gateway:

        async def ready() -> int:
            async with gateway.session.get(f"{gateway.url}/readyz") as answer:
                return answer.status

        assert await asyncio.gather(*(ready() for _ in range(20))) == [200] * 20
        assert gateway.kafka.asked == 1


async def test_it_is_not_ready_without_a_broker(start: Start) -> None:
    async with start() as gateway:
        gateway.kafka.reachable = False
        async with gateway.session.get(f"{gateway.url}/readyz") as answer:
            assert answer.status == 503


def test_secrets_are_read_from_their_files(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_text(f"{SECRET}\n")
    (tmp_path / "old").write_text(OLD_SECRET)
    environment.setenv(
        "IMAGELANE_GATEWAY__WEBHOOK_SECRET_FILES", f'["{tmp_path}/new", "{tmp_path}/old"]'
    )
    settings = load(Settings)
    assert all(
        isinstance(one, Webhook) for one in secrets_in(settings.gateway.webhook_secret_files)
    )
    assert len(secrets_in(settings.gateway.webhook_secret_files)) == 2


@pytest.mark.parametrize("content", [b"", b"whsec_", b"not base 64 \xc3\xa9", b"\xff"])
def test_a_file_without_a_secret_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"WEBHOOK_SECRET_FILES.*secret"):
        secrets_in([file])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("IMAGELANE_GATEWAY__PORT", "65536"),
        ("IMAGELANE_GATEWAY__BODY_SECONDS", "0"),
        ("IMAGELANE_GATEWAY__KAFKA_SECONDS", "1000"),
        ("IMAGELANE_GATEWAY__WEBHOOK_SECRET_FILES", '["/nowhere"]'),
        ("IMAGELANE_GATEWAY__COLOUR", "red"),
    ],
)
def test_a_wrong_setting_is_named(
    environment: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    environment.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        load(Settings)


async def test_a_port_in_use_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = GatewaySettings(port=port, deployment_secret=SecretStr(DEPLOYMENT_SECRET))
        with pytest.raises(SettingsError, match=rf"IMAGELANE_GATEWAY__PORT: port {port} "):
            async with listening(web.Application(), settings):
                pass


@pytest.mark.slow
async def test_it_starts_without_a_broker_and_stops_when_told(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("IMAGELANE_GATEWAY__PORT", "0")
    environment.setenv("IMAGELANE_KAFKA__CLIENT", '{"log_level": "0"}')
    stop = asyncio.Event()
    running = asyncio.create_task(run(load(Settings), stop))
    await asyncio.sleep(0.1)
    assert not running.done()
    stop.set()
    async with asyncio.timeout(15):
        await running


def test_only_directories_are_served(tmp_path: Path) -> None:
    base = "http://127.0.0.1:8080/public"
    assert folders_of(
        {
            "here": DestinationSettings(directory=tmp_path, prefix="a/", public_base_url=base),
            "there": DestinationSettings(kind="s3", bucket="b", public_base_url=base),
        }
    ) == {"here": PublicFolder(tmp_path, "a/")}
