"""A real Prometheus as docker-compose.yml starts it: the services' names lead to a run on this machine."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from aiohttp import ClientConnectionError, ClientSession
from tests.deployment.monitoring.programs import COMPOSE, command_of, serving

from imagelane.ops.broker.server import HOST, free_port

HURRY: Final = 20
"""An alert waits a twentieth of what its rule says, so that a test sees it fire."""

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Series:
    """What a query gave for one set of labels, in the order of time."""

    labels: Labels
    values: list[float]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that can be asked."""

    url: str
    session: ClientSession

    async def is_ready(self) -> bool:
        """Whether it answers questions."""
        try:
            async with self.session.get(f"{self.url}/-/ready") as answer:
                return answer.ok
        except ClientConnectionError:
            return False

    async def asked(self, what: str, **parameters: str) -> Any:
        """The data of an answer. Raises `AssertionError` with what Prometheus itself has against the question.

        That includes its remarks: a rate of what is no counter, buckets without bounds.
        """
        async with self.session.get(f"{self.url}/api/v1/{what}", params=parameters) as answer:
            said = await answer.json()
        assert said["status"] == "success", (parameters, said)
        assert "warnings" not in said, (parameters, said["warnings"])
        assert "infos" not in said, (parameters, said["infos"])
        return said["data"]

    async def now(self, query: str) -> list[Series]:
        """What the query gives at this moment."""
        found = await self.asked("query", query=query)
        return [Series(one["metric"], [float(one["value"][1])]) for one in found["result"]]

    async def over(self, query: str, since: float, step_seconds: float) -> list[Series]:
        """What a panel of Grafana would draw, from `since` (epoch) until this very moment.

        Steps counted from `since` would end up to a step ago, and miss what was scraped after that.
        """
        now = round(time.time(), 3)  # Prometheus reckons in milliseconds, too
        found = await self.asked(
            "query_range",
            query=query,
            start=str(round(now - (now - since) // step_seconds * step_seconds, 3)),
            end=str(now),
            step=str(step_seconds),
        )
        return [
            Series(one["metric"], [float(value) for _, value in one["values"]])
            for one in found["result"]
        ]

    async def firing(self) -> list[Labels]:
        """The labels of all alerts that fire."""
        return [
            one["labels"]
            for one in (await self.asked("alerts"))["alerts"]
            if one["state"] == "firing"
        ]


@asynccontextmanager
async def scraping(folder: Path, health_ports: Mapping[str, int]) -> AsyncIterator[Prometheus]:
    """Prometheus with Compose's configuration and rules, for the block; its log is in the folder."""
    configure(folder, health_ports)
    port = free_port()
    arguments = [
        one.replace("/etc/prometheus", str(folder)).replace("=/prometheus", f"={folder}/data")
        for one in command_of("prometheus")
    ]
    arguments.append(f"--web.listen-address={HOST}:{port}")
    async with ClientSession() as session:
        server = Prometheus(f"http://{HOST}:{port}", session)
        log = folder / "prometheus.log"
        async with serving("prometheus", arguments, log, ready=server.is_ready):
            yield server


def configure(folder: Path, health_ports: Mapping[str, int]) -> None:
    """Compose's files with a way from its names to these ports, and with rules that are in a hurry."""
    config = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    job["relabel_configs"] += [
        {
            "source_labels": ["__address__"],
            "regex": f"{service}:9090",
            "target_label": "__address__",
            "replacement": f"{HOST}:{port}",
        }
        for service, port in health_ports.items()
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    rules = (COMPOSE / "alerts.yml").read_text()
    (folder / "alerts.yml").write_text(
        re.sub(r"(?m)^( +for: )(\d+)m$", lambda one: f"{one[1]}{int(one[2]) * 60 // HURRY}s", rules)
    )
