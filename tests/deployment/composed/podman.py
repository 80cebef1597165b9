"""Containers by podman, started as docker-compose.yml says and in its order."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.deployment.composed.project import Project, started

ENDING_SECONDS: Final = 180.0
LOOK_SECONDS: Final = 0.5
MISSING: Final = "podman is missing: `make test-containers` says how to install it"


def podman(*arguments: str, timeout_seconds: float = 120.0) -> str:
    """Runs it and returns its output. Raises `AssertionError` with what it said."""
    done = asked(*arguments, timeout_seconds=timeout_seconds)
    assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def asked(*arguments: str, timeout_seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Runs it, well or not."""
    program = shutil.which("podman")
    assert program, MISSING
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=timeout_seconds
    )


@dataclass(frozen=True, slots=True)
class Composed:
    """The project's containers."""

    project: Project

    def start(self, name: str) -> None:
        """Starts one, once what it depends on is as the file says."""
        for other, said in self.project.service(name).get("depends_on", {}).items():
            if said["condition"] == "service_healthy":
                self.wait_healthy(other)
            else:
                assert self.wait_ended(other) == 0, self.log(other)
        podman("run", *started(name, self.project), *self.project.run(name))

    def once(self, name: str, *command: str) -> str:
        """`docker compose run --rm`: another command in a container of this service."""
        return podman("run", "--rm", *self.project.run(name, *command))

    def inside(self, name: str, *command: str) -> str:
        """What a command says that is run inside."""
        return podman("exec", self.project.container(name), *command)

    def state(self, name: str) -> dict[str, Any]:
        """How the container is, in podman's words."""
        (found,) = json.loads(podman("inspect", self.project.container(name)))
        state: dict[str, Any] = found["State"] | {"RestartCount": found["RestartCount"]}
        return state

    def log(self, name: str) -> str:
        """Everything that it wrote."""
        done = asked("logs", self.project.container(name))
        return done.stdout + done.stderr

    def wait_healthy(self, name: str) -> None:
        """Asks as the file says, until the answer is good. Raises `AssertionError` with its log."""
        kind, *command = self.project.service(name)["healthcheck"]["test"]
        assert kind == "CMD"
        deadline = time.monotonic() + ENDING_SECONDS
        while time.monotonic() < deadline:
            if asked("exec", self.project.container(name), *command).returncode == 0:
                return
            time.sleep(LOOK_SECONDS)
        raise AssertionError(f"{name} is not healthy: {self.log(name)[-2_000:]}")

    def wait_ended(self, name: str) -> int:
        """The exit code of one that ends by itself."""
        return int(podman("wait", self.project.container(name), timeout_seconds=ENDING_SECONDS))

    def terminate(self, name: str) -> int:
        """SIGTERM, and SIGKILL after the file's time of grace; the exit code."""
        podman("stop", self.project.container(name))
        return int(self.state(name)["ExitCode"])


@contextmanager
def running(project: Project, logs: Path) -> Iterator[Composed]:
    """Networks for the project; containers, networks and volumes are gone after the block, logs are kept."""
    composed = Composed(project)
    networks = dict(project.networks())
    try:
        for name, options in networks.items():
            podman("network", "create", f"--label={project.prefix}", *options, name)
        yield composed
    finally:
        label = f"--filter=label={project.prefix}"
        names = podman("ps", "--all", "--format={{.Names}}", label).split()
        for container in names:
            name = container.removeprefix(f"{project.prefix}-")
            (logs / f"{name}.log").write_text(composed.log(name))
        if names:  # twice: one that ends in this very moment cannot be removed at first
            asked("rm", "--force", "--time=10", *names, timeout_seconds=120)
            podman("rm", "--force", "--ignore", *names)
        for volume in project.read["volumes"]:
            podman("volume", "rm", "--force", project.volume(volume))
        for network in networks:
            podman("network", "rm", "--force", network)
