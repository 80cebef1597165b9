"""The stand-in as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imagelane.standin.options import parse

pytestmark = pytest.mark.slow


@contextmanager
def standin(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "imagelane.standin", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        try:
            assert one.stdout is not None
            yield one, json.loads(one.stdout.readline() or "{}")
        finally:
            one.kill()


def post(url: str, body: object) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - a loopback address of this test
        url, json.dumps(body).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        return dict(json.load(answer))


def test_it_prints_one_ready_line_serves_and_ends_cleanly(tmp_path: Path) -> None:
    journal = tmp_path / "new" / "journal"
    with standin("--journal", str(journal), "--fetch", "none") as (process, ready):
        assert ready["ready"] is True
        batch = post(f"{ready['url']}/batches", {"customer": "acme", "urls": ["http://127.0.0.1/"]})
        assert batch["status"] == "active"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")
        assert '"accepted"' in journal.read_text()


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    arguments = ("--journal", str(tmp_path / "j"), "--fetch", "none", "--base-seconds", "60")
    with standin(*arguments) as (process, ready):
        body = {"customer": "acme", "urls": ["http://127.0.0.1/"]}
        batch = post(f"{ready['url']}/batches", body)
        process.kill()
        process.wait()
    with (
        standin(*arguments) as (_, ready),
        urllib.request.urlopen(f"{ready['url']}/batches/{batch['id']}", timeout=10) as answer,  # noqa: S310 - loopback
    ):
        assert json.load(answer) == batch


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with standin("--journal", str(tmp_path / "j"), "--port", port) as (process, ready):
            _, errors = process.communicate(timeout=10)
            assert (process.returncode, ready) == (2, {})
            assert f"--port {port}" in errors


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--journal"),
        (["--journal", "j", "--level", "E"], "--level"),
        (["--journal", "j", "--base-seconds", "-1"], "--base-seconds"),
        (["--journal", "j", "--token-file", "/nowhere"], "/nowhere"),
        (["--journal", "j", "--faults", '{"drop": 1}'], "drop"),
        (["--journal", "j", "--max-urls", "0"], "--max-urls"),
    ],
)
def test_wrong_usage_names_the_argument(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t-1\n")
    (tmp_path / "secret").write_text("whsec_MTIz\n")
    options = parse(
        [
            *("--journal", "j", "--token-file", str(tmp_path / "token")),
            *("--webhook-secret-file", str(tmp_path / "secret")),
            *("--faults", '{"webhooks": "doubled"}'),
        ]
    )
    assert (options.token, options.webhook_secret) == ("t-1", "whsec_MTIz")
    assert options.faults.webhooks == "doubled"
