"""What the command line says to bad input. Every message names the thing."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imagelane.contracts.events import ListSubmitted
from imagelane.ops.broker import BrokerSetupError, EmbeddedBroker, jars
from imagelane.ops.broker.jars import BrokerHome
from imagelane.ops.cli import app
from imagelane.ops.submission import SubmissionError, submit
from imagelane.platform.settings import KafkaSettings

NOBODY = "127.0.0.1:1"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", NOBODY)
    monkeypatch.setattr("imagelane.platform.groups.REACH_SECONDS", 1.0)
    return NOBODY


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", raising=False)
    result = CliRunner().invoke(app, ["topics", "check"])
    assert result.exit_code == 2
    assert "IMAGELANE_KAFKA" in result.stderr


def test_a_broker_that_is_not_there_is_named(nobody: str) -> None:
    result = CliRunner().invoke(app, ["topics", "check"])
    assert result.exit_code == 1
    assert f"no Kafka broker answers at {nobody}" in result.stderr
    assert "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS" in result.stderr


@pytest.mark.usefixtures("nobody")
def test_a_list_needs_a_file_or_an_address() -> None:
    result = CliRunner().invoke(app, ["produce", "--customer", "acme"])
    assert result.exit_code == 2
    assert "either FILE or --list-url" in result.stderr


@pytest.mark.usefixtures("nobody")
def test_an_empty_customer_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("http://example.com/a.jpg\n")
    result = CliRunner().invoke(app, ["produce", str(tmp_path / "list.txt"), "--customer", ""])
    assert result.exit_code == 2
    assert "--customer" in result.stderr


def test_a_list_that_is_too_large_inline_is_told_the_way_out() -> None:
    event = ListSubmitted(customer_id="acme", urls=["http://example.com/" + "x" * 100] * 9_000)
    with pytest.raises(SubmissionError, match=r"900000 are allowed.*list_url"):
        submit(KafkaSettings(bootstrap_servers=NOBODY), event)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


def test_a_port_in_use_is_named(tmp_path: Path, taken_port: int) -> None:
    home = BrokerHome(Path("java"), (), tmp_path)
    broker = EmbeddedBroker(home, tmp_path / "kafka", port=taken_port)
    with pytest.raises(BrokerSetupError, match=f"port {taken_port} .* is in use"):
        broker.prepare()


def test_ports_are_kept_over_starts(tmp_path: Path) -> None:
    home = BrokerHome(Path("java"), (), tmp_path)
    first = EmbeddedBroker(home, tmp_path / "kafka").bootstrap_servers
    assert EmbeddedBroker(home, tmp_path / "kafka").bootstrap_servers == first
    assert json.loads((tmp_path / "kafka" / "ports.json").read_text())[0] == int(
        first[-5:].lstrip(":")
    )


def java(folder: Path, version: str) -> Path:
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    path.chmod(0o755)
    return path


def test_no_java_at_all_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(
        BrokerSetupError, match=r"Java 17 or newer is missing \(no java on the PATH\)"
    ):
        jars.find_java()


def test_an_old_java_is_named_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = java(tmp_path, "1.8.0_402")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(BrokerSetupError, match=f"{old} is Java 8"):
        jars.find_java()


def test_a_missing_maven_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java(tmp_path, "17.0.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerSetupError, match="Maven is missing"):
        jars.broker_home(tmp_path / "cache", lambda _text: None)
