"""Laws of the layout: one namespace out of many folders, each listed, and importing does nothing."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path for path in (ROOT / "services").iterdir() if (path / "imagelane").is_dir())
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
MODULES = sorted(
    ".".join(path.relative_to(service).with_suffix("").parts).removesuffix(".__init__")
    for service in SERVICES
    for path in (service / "imagelane").rglob("*.py")
    if path.stem != "__main__"  # those start a service
)

PROBE = """
import importlib, sys, threading

import croniter, urllib3  # these two look around on import: one calls `file`, one tries out IPv6
import pydantic_settings

def read_settings(*_arguments, **_values):
    raise AssertionError("settings are read")

def watch(event, arguments):
    if event in {"socket.__new__", "socket.connect", "socket.bind", "subprocess.Popen"}:
        raise AssertionError(event)

pydantic_settings.BaseSettings.__init__ = read_settings
sys.addaudithook(watch)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except AssertionError as error:
        sys.exit(f"{name}: {error}")
    if threading.active_count() > 1:
        sys.exit(f"{name}: starts a thread")
"""


def importing(*modules: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A fresh Python that imports the modules one by one, and ends at the first that does more."""
    return subprocess.run(
        [sys.executable, "-c", PROBE, *modules],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=path,
    )


def test_every_service_is_listed_in_the_distribution_and_for_the_type_checker() -> None:
    folders = {f"services/{service.name}" for service in SERVICES}
    assert set(WHEEL["packages"]) == {f"{folder}/imagelane" for folder in folders}
    assert set(WHEEL["dev-mode-dirs"]) == folders
    assert set(PYPROJECT["tool"]["mypy"]["mypy_path"]) == folders


def test_the_schemas_travel_with_the_distribution() -> None:
    assert WHEEL["force-include"] == {"schemas": "imagelane/contracts/schemas"}


def test_the_namespace_belongs_to_no_service() -> None:
    assert list((ROOT / "services").glob("*/imagelane/__init__.py")) == []


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_has_one_package_of_its_own_name(service: Path) -> None:
    own = {path.parent.name for path in (service / "imagelane").glob("*/__init__.py")}
    assert own == (
        {"contracts", "core", "platform", "tracking"}
        if service.name == "shared"
        else {service.name}
    )


def test_importing_connects_nothing_starts_nothing_and_reads_no_settings() -> None:
    done = importing(*MODULES)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import socket; socket.socket()", "socket.__new__"),
        ("import threading, time; threading.Thread(target=time.sleep, args=[1]).start()", "thread"),
        ("from imagelane.platform.settings import ServiceSettings as S; S()", "settings are read"),
    ],
)
def test_the_probe_sees_what_it_looks_for(tmp_path: Path, code: str, complaint: str) -> None:
    (tmp_path / "busy.py").write_text(code)
    done = importing("busy", path=tmp_path)
    assert done.returncode == 1
    assert complaint in done.stderr
