"""A container's environment, as Compose and Kubernetes would give it, taken by the service's own settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from tests.hostile.certificates import Authority

from imagelane.ops.cli_tracker import TrackerCommandSettings
from imagelane.ops.command_line import CommandSettings
from imagelane.ops.settings_reference import settings_classes, settings_of

SECRETS = "/run/secrets/"
CERTIFICATES = "/run/kafka/"
FROM_THE_IMAGE = {"IMAGELANE_HEALTH__HOST": "0.0.0.0", "IMAGELANE_HEALTH__PORT": "9090"}  # noqa: S104 - in a container
COMMANDS: dict[str, type[BaseSettings]] = {
    "topics": CommandSettings,
    "demo": CommandSettings,
    "database": TrackerCommandSettings,
}
"""The settings of the command line, by the containers that run it."""
CLASSES = settings_classes() | COMMANDS


def unknown_variables(service: str, environment: Mapping[str, str]) -> set[str]:
    """Those that the service does not read: a typing error, or another service's."""
    known = [
        re.compile(re.escape(one.variable).replace("<NAME>", "[A-Z0-9_]+"))
        for one in settings_of(CLASSES[service])
    ]
    ours = {name for name in environment if name.startswith("IMAGELANE_")}
    return {name for name in ours if not any(one.fullmatch(name) for one in known)}


def load(
    service: str,
    environment: Mapping[str, str],
    secrets: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> BaseSettings:
    """The service's settings from this environment, with a dummy for each secret that is mounted."""
    for name, value in {**FROM_THE_IMAGE, **environment}.items():
        here = value.replace(SECRETS, f"{secrets}/").replace(CERTIFICATES, f"{secrets}/")
        monkeypatch.setenv(name, here)
    return CLASSES[service]()


def make_secrets(folder: Path, names: set[str]) -> Path:
    """A file for each secret, with as many characters as any of them needs."""
    for name in names:
        (folder / name).write_text("x" * 48)
    if "user.crt" in names:  # settings read certificates
        authority = Authority.made(folder)
        authority.client("user")
        (folder / "ca.crt").write_bytes(authority.ca_file.read_bytes())
    return folder
