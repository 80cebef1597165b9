"""Every service has an image of its own, made alike, of nothing but what it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = {path.parent.name: path for path in sorted((ROOT / "services").glob("*/Dockerfile"))}
LONG_RUNNING = sorted(set(DOCKERFILES) - {"ops", "standin"})

each_image = pytest.mark.parametrize("service", sorted(DOCKERFILES))


def lines_of(service: str) -> list[str]:
    return DOCKERFILES[service].read_text().splitlines()


def sources_of(service: str) -> set[str]:
    """Which of the repository's folders and files the image is made of."""
    copies = [line.split()[1:-1] for line in lines_of(service) if line.startswith("COPY ")]
    return {source for sources in copies for source in sources if not source.startswith("--")}


def test_every_service_has_a_dockerfile() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/imagelane")}
    assert set(DOCKERFILES) == folders - {"shared"}


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_an_image_takes_the_shared_code_and_its_own_and_no_other_service(service: str) -> None:
    assert sources_of(service) == {
        "requirements-installer.lock",
        "requirements-build.lock",
        f"requirements-{service}.lock",
        "pyproject.toml",
        "README.md",
        "schemas",
        "services/shared",
        f"services/{service}",
        "/app",
    }


def test_the_stand_in_of_the_batch_api_shares_no_code_with_us() -> None:
    assert {one for one in sources_of("standin") if "services" in one} == {"services/standin"}


def test_images_differ_only_in_what_they_take_and_start() -> None:
    own = re.compile(
        r"^# |org\.opencontainers\.image\.(title|description)|requirements-\w+\.lock"
        r"|^COPY services/|^EXPOSE |^ENTRYPOINT "
    )
    alike = {
        service: [line for line in lines_of(service) if not own.search(line)]
        for service in LONG_RUNNING
    }
    assert all(lines == alike["intake"] for lines in alike.values())


@each_image
def test_an_image_stands_on_a_base_of_known_bytes(service: str) -> None:
    text = DOCKERFILES[service].read_text()
    assert re.search(
        r"^ARG PYTHON=docker\.io/library/python:3\.\d+-slim-\w+@sha256:[0-9a-f]{64}$",
        text,
        re.MULTILINE,
    )
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]


@each_image
def test_all_that_is_installed_from_outside_has_a_known_hash(service: str) -> None:
    installs = re.findall(r"pip .*?install .*", DOCKERFILES[service].read_text())
    assert len(installs) == 4
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)


def test_what_builds_the_wheel_is_locked_as_the_project_wants_it() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    locked = re.findall(
        r"^(\S+==\S+)", (ROOT / "requirements-build.lock").read_text(), re.MULTILINE
    )
    assert set(wanted) <= set(locked)


@each_image
def test_an_image_runs_as_nobody_in_particular(service: str) -> None:
    text = DOCKERFILES[service].read_text()
    last_stage = text[text.rindex("\nFROM ") :]
    assert re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE) == ["10001:10001"]
    assert "chmod" not in text


@pytest.mark.parametrize("service", LONG_RUNNING)
def test_an_image_tells_how_it_is_on_its_health_port(service: str) -> None:
    text = DOCKERFILES[service].read_text()
    assert "IMAGELANE_HEALTH__PORT=9090" in text
    assert "IMAGELANE_HEALTH__HOST=0.0.0.0" in text
    assert re.search(r"^HEALTHCHECK .*\\\n +CMD .*127\.0\.0\.1:9090/readyz", text, re.MULTILINE)


@each_image
def test_an_image_says_what_it_is(service: str) -> None:
    text = DOCKERFILES[service].read_text()
    for label in ("title", "description", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in text


def test_the_context_holds_nothing_but_what_images_take() -> None:
    allowed = set((ROOT / ".dockerignore").read_text().splitlines())
    assert "*" in allowed
    assert {one for one in allowed if one.startswith("!")} == {
        "!pyproject.toml",
        "!README.md",
        "!requirements*.lock",
        "!schemas",
        "!services",
    }
