"""Every service refuses every wrong setting of its own with exit code 2 and the variable's name, connecting nowhere.

Which settings there are, and which values each takes, follows from the settings classes themselves.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagelane.ops.settings_reference import Setting, settings_classes, settings_of
from imagelane.platform.settings import load_or_exit

pytestmark = pytest.mark.slow  # some hundred environments, and a process per service

CLASSES = settings_classes()
SERVICES = sorted(CLASSES)
SECRET = "s" * 40
NO_FILE = "/nowhere/secret"
PREFIX = "IMAGELANE_"
FREE_WORDS = {"text", "secret text", "path"}
"""Kinds of which any text is one, unless a pattern says otherwise."""


@dataclass(frozen=True)
class Wrong:
    """What is set (or not, with None) against a good environment, and which variables may be named for it."""

    changes: Mapping[str, str | None]
    named: tuple[str, ...]

    def __str__(self) -> str:
        shown = (f"{name}={'' if v is None else v[:30]}" for name, v in self.changes.items())
        return " ".join(shown)


def good(folder: Path) -> dict[str, str]:
    """Enough for every service; each takes from it what is its own."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    values = {
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9092",
        "STORE__PRIVATE_DIRECTORY": str(folder / "private"),
        "STORE__DESTINATIONS__MAIN__DIRECTORY": str(folder / "public"),
        "STORE__DESTINATIONS__MAIN__PUBLIC_BASE_URL": "http://127.0.0.1/public",
        "DATABASE__URL": f"sqlite:///{folder}/tracker.sqlite",
        "DISPATCHER__CAPABILITIES": "A",
        "BATCH_API__BASE_URL": "http://127.0.0.1/v1",
        "INTAKE__DEPLOYMENT_SECRET_FILE": str(secret),
        "GATEWAY__DEPLOYMENT_SECRET_FILE": str(secret),
    }
    return {PREFIX + name: value for name, value in values.items()}


def named(setting: Setting) -> str:
    return setting.variable.replace("<NAME>", "MAIN")


def missing(service: str) -> Iterator[Wrong]:
    """Each required setting left out; of a group with a name of its own, the group is then there without it."""
    for setting in settings_of(CLASSES[service]):
        if setting.default == "**required**":
            yield Wrong({named(setting): None}, (named(setting),))


def of_another_kind(service: str) -> Iterator[Wrong]:
    """Text for numbers, no JSON for lists, words of no closed list, files that nobody can read."""
    for setting in settings_of(CLASSES[service]):
        kinds = set(setting.kind.split(" or "))
        if setting.kind == "file":
            yield Wrong({named(setting): NO_FILE}, (named(setting),))
        elif setting.kind == "list of file":
            yield Wrong({named(setting): json.dumps([NO_FILE])}, (named(setting),))
        elif not kinds & FREE_WORDS:
            yield Wrong({named(setting): "{gibberish"}, (named(setting),))


def out_of_bounds(service: str) -> Iterator[Wrong]:
    """One below the least number, one above the greatest."""
    for setting in settings_of(CLASSES[service]):
        if not set(setting.kind.split(" or ")) & {"number", "whole number"}:
            continue
        for least, most in re.findall(
            r"(-?[\d.e+]+) to (-?[\d.e+]+)(?! characters)", setting.bounds
        ):
            for value in (float(least) - 1, float(most) + 1):
                text = str(int(value)) if setting.kind == "whole number" else str(value)
                yield Wrong({named(setting): text}, (named(setting),))


CONTRADICTORY: Mapping[str, tuple[Mapping[str, str | None], str]] = {
    "plaintext to another machine": (
        {"KAFKA__BOOTSTRAP_SERVERS": "kafka.example:9092"},
        "KAFKA__SECURITY",
    ),
    "a login without its password": (
        {"KAFKA__SECURITY__PROTOCOL": "sasl_ssl", "KAFKA__SECURITY__USERNAME": "me"},
        "KAFKA__SECURITY__PASSWORD_FILE",
    ),
    "TLS without a certificate": (
        {"KAFKA__SECURITY__PROTOCOL": "ssl"},
        "KAFKA__SECURITY__CERTIFICATE_FILE",
    ),
    "a security property beside the settings": (
        {"KAFKA__CLIENT": '{"security.protocol": "ssl"}'},
        "KAFKA__CLIENT",
    ),
    "a group setting that nobody knows": ({"KAFKA__TOPICPREFIX": "x-"}, "KAFKA__TOPICPREFIX"),
    "a bucket for a folder": (
        {"STORE__PRIVATE_BUCKET": "private"},
        "STORE__PRIVATE_BUCKET",
    ),
    "a folder missing for the kind": (
        {"STORE__PRIVATE_DIRECTORY": None},
        "STORE__PRIVATE_DIRECTORY",
    ),
    "a destination that holds the private part": (
        {
            "STORE__DESTINATIONS__MAIN__DIRECTORY": "/nowhere",
            "STORE__PRIVATE_DIRECTORY": "/nowhere/private",
        },
        "STORE__DESTINATIONS",
    ),
    "a key without its secret": (
        {"STORE__S3__ACCESS_KEY_ID": "key"},
        "STORE__S3__SECRET_ACCESS_KEY_FILE",
    ),
    "signed URLs of a folder": (
        {"STORE__DESTINATIONS__MAIN__ACCESS": "presigned"},
        "STORE__DESTINATIONS__MAIN__ACCESS",
    ),
    "an unknown kind of database": ({"DATABASE__URL": "mysql://me@x/y"}, "DATABASE__URL"),
    "a password in the database's URL": (
        {"DATABASE__URL": "postgresql://me:secret@x/y"},
        "DATABASE__URL",
    ),
    "polling at most more often than at least": (
        {"DISPATCHER__POLL_MIN_SECONDS": "9", "DISPATCHER__POLL_MAX_SECONDS": "1"},
        "DISPATCHER__POLL_MAX_SECONDS",
    ),
    "late requests that are not waited out": (
        {"DISPATCHER__CAPABILITIES": "B", "DISPATCHER__DRAIN_SECONDS": "1"},
        "DISPATCHER__DRAIN_SECONDS",
    ),
    "a failpoint in production": (
        {"DISPATCHER__FAILPOINT": "before_plan"},
        "DISPATCHER__ALLOW_FAILPOINTS",
    ),
    "no address of the API": ({"BATCH_API__BASE_URL": None}, "BATCH_API__BASE_URL"),
    "a child too small for its largest image": (
        {"PROCESSOR__MEMORY_BYTES": "268435456"},
        "PROCESSOR__MEMORY_BYTES",
    ),
    "two secrets of the deployment": (
        {"INTAKE__DEPLOYMENT_SECRET": SECRET, "GATEWAY__DEPLOYMENT_SECRET": SECRET},
        "__DEPLOYMENT_SECRET_FILE",
    ),
    "no secret of the deployment": (
        {"INTAKE__DEPLOYMENT_SECRET_FILE": None, "GATEWAY__DEPLOYMENT_SECRET_FILE": None},
        "__DEPLOYMENT_SECRET_FILE",
    ),
}
"""What only several settings together show: the classes' own validators, each by one example."""


def contradictory(service: str) -> Iterator[Wrong]:
    groups = {
        one.variable.removeprefix(PREFIX).split("__")[0] for one in settings_of(CLASSES[service])
    }
    for changes, variable in CONTRADICTORY.values():
        own = {name: v for name, v in changes.items() if name.split("__")[0] in groups}
        if own:
            yield Wrong({PREFIX + name: value for name, value in own.items()}, (variable,))


def refused(service: str, wrong: Wrong, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in [one for one in os.environ if one.startswith(PREFIX)]:  # noqa: TID251 - what the test itself has set
        monkeypatch.delenv(name)
    changes = {**good(folder), **wrong.changes}
    for name, value in changes.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as left:
        load_or_exit(CLASSES[service])
    assert left.value.code == 2, wrong


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "kind", [missing, of_another_kind, out_of_bounds, contradictory], ids=lambda one: one.__name__
)
def test_wrong_settings_end_a_service_with_2_and_the_variables_name(
    service: str,
    kind: object,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried = list(kind(service))  # type: ignore[operator] # one of the four above
    assert tried
    for wrong in tried:
        refused(service, wrong, monkeypatch, tmp_path)
        said = capsys.readouterr().err
        assert any(name in said for name in wrong.named), f"{wrong}: {said}"


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("KAFKA__CLIENT", "must be a JSON object"),
        ("HTTP__ALLOWED_NETWORKS", "must be a JSON list"),
        ("STORE__DESTINATIONS", "must be a JSON object"),
        ("KAFKA", "should be a valid dictionary"),
    ],
)
def test_what_is_no_json_is_refused_in_those_words(
    variable: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes: dict[str, str | None] = dict.fromkeys(
        name for name in good(tmp_path) if "DESTINATIONS" in name
    )
    wrong = Wrong({**changes, PREFIX + variable: "10.0.0.0/8"}, ())
    refused("intake", wrong, monkeypatch, tmp_path)
    said = capsys.readouterr().err
    assert f"{PREFIX}{variable}: " in said
    assert words in said


@pytest.mark.parametrize("service", SERVICES)
def test_the_environment_that_is_made_wrong_is_a_good_one(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in good(tmp_path).items():
        monkeypatch.setenv(name, value)
    load_or_exit(CLASSES[service])


@pytest.mark.parametrize("service", SERVICES)
def test_the_process_leaves_with_2_before_it_has_connected_anywhere(
    service: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        environment = good(tmp_path) | {
            "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.getsockname()[1]}",
            "IMAGELANE_HEALTH__PORT": "gibberish",
        }
        done = subprocess.run(
            [sys.executable, "-m", f"imagelane.{service}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        broker.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            broker.accept()
    assert done.returncode == 2
    assert "IMAGELANE_HEALTH__PORT" in done.stderr
    assert "Traceback" not in done.stderr
