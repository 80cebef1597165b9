"""docker-compose.yml as Docker Compose's own library reads it, and the podman command that starts each service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Service = dict[str, Any]
UNITS: Final = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Project:
    """The file, and where this run of it differs: names, secrets, images, and what stands in for images."""

    read: Mapping[str, Any]
    prefix: str
    secrets: Path
    stand_ins: Mapping[str, list[str]] = field(default_factory=dict)
    """Options and an image for services whose image cannot be had here."""

    def service(self, name: str) -> Service:
        """One service, as it was read."""
        found: Service = self.read["services"][name]
        return found

    def container(self, name: str) -> str:
        """What podman calls its container."""
        return f"{self.prefix}-{name}"

    def volume(self, name: str) -> str:
        """What podman calls a volume."""
        return f"{self.prefix}-{name}"

    def networks(self) -> Iterator[tuple[str, list[str]]]:
        """podman's name and options for each network."""
        for name, one in self.read["networks"].items():
            ranges = one.get("ipam", {}).get("config", [])
            yield f"{self.prefix}-{name}", [f"--subnet={each['subnet']}" for each in ranges]

    def in_order(self) -> Iterator[str]:
        """The services that are started, each after those that it waits for."""
        done: list[str] = []

        def visit(name: str) -> Iterator[str]:
            if name not in done:
                done.append(name)
                for one in self.service(name).get("depends_on", {}):
                    yield from visit(one)
                yield name

        for name, one in self.read["services"].items():
            if not one.get("profiles"):
                yield from visit(name)

    def run(self, name: str, *command: str) -> list[str]:
        """The arguments of `podman run`: all that the file says of it, or with another command."""
        one = self.service(name)
        image = self.stand_ins.get(name) or [f"localhost/{one['image'].partition(':')[0]}:test"]
        return [
            *("--pull=never", "--no-healthcheck", "--read-only-tmpfs=false"),
            f"--label={self.prefix}",
            *_limits(one),
            *self._places(name),
            *(
                f"--env={variable}={value}"
                for variable, value in one.get("environment", {}).items()
            ),
            *([f"--entrypoint={json.dumps(one['entrypoint'])}"] if one["entrypoint"] else []),
            *image,
            *(command or one["command"] or []),
        ]

    def _places(self, name: str) -> Iterator[str]:
        one = self.service(name)
        for network, said in one["networks"].items():
            aliases = [name, *((said or {}).get("aliases") or [])]
            options = ",".join(f"alias={alias}" for alias in aliases)
            yield f"--network={self.prefix}-{network}:{options}"
        for volume in one.get("volumes", []):
            bound = volume["type"] == "bind"
            source = volume["source"] if bound else self.volume(volume["source"])
            end = ":ro" if volume.get("read_only") else ""
            yield f"--volume={source}:{volume['target']}{end}"
        for secret in one.get("secrets", []):
            yield f"--volume={self.secrets / secret['source']}:{secret['target']}:ro"


def started(name: str, project: Project) -> list[str]:
    """The options of a service that stays, with its name, its ports and its restarts."""
    one = project.service(name)
    ports = [f"{p['host_ip']}:{p['published']}:{p['target']}" for p in one.get("ports", [])]
    return [
        "--detach",
        f"--name={project.container(name)}",
        f"--restart={one['restart']}",
        *(f"--publish={port}" for port in ports),
    ]


def _limits(one: Service) -> Iterator[str]:
    yield f"--memory={one['mem_limit']}b"
    yield f"--pids-limit={one['pids_limit']}"
    if one.get("read_only"):
        yield "--read-only"
    if "shm_size" in one:
        yield f"--shm-size={one['shm_size']}b"
    yield from (f"--cap-drop={each}" for each in one.get("cap_drop", []))
    yield from (f"--cap-add={each}" for each in one.get("cap_add", []))
    yield from (f"--security-opt={each.removesuffix(':true')}" for each in one["security_opt"])
    yield from (f"--tmpfs={each}" for each in one.get("tmpfs", []))
    if "stop_grace_period" in one:
        yield f"--stop-timeout={seconds(one['stop_grace_period']):.0f}"


def seconds(duration: str) -> float:
    """A duration such as `1m30s` in seconds."""
    return sum(
        float(count) * UNITS[unit] for count, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration)
    )
