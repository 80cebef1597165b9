"""A real OpenTelemetry collector as docker-compose.yml starts it, on a free port of this machine."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from tests.deployment.monitoring.programs import COMPOSE, command_of, serving

from imagelane.ops.broker.server import HOST, free_port

SPAN: Final = re.compile(r"^(\D.*) ([0-9a-f]{32}) ([0-9a-f]{16})(?: |$)", re.MULTILINE)
"""How its exporter `debug` writes one: name, trace, span, and attributes."""
LISTENS: Final = "0.0.0.0:4318"


@dataclass(frozen=True, slots=True)
class Collector:
    """What listens, and where it writes what it takes."""

    url: str
    log: Path

    def spans(self) -> Counter[str]:
        """How many spans of each name it has taken."""
        return Counter(name for name, _trace, _span in SPAN.findall(self.log.read_text()))


@asynccontextmanager
async def collecting(folder: Path) -> AsyncIterator[Collector]:
    """The collector with Compose's configuration, for the block; its log is in the folder."""
    port = free_port()
    text = (COMPOSE / "otlp.yml").read_text()
    assert text.count(LISTENS) == 1
    config = yaml.safe_load(text.replace(LISTENS, f"{HOST}:{port}"))
    config["service"]["telemetry"] = {"metrics": {"level": "none"}}  # else on a port of its own
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    arguments = [one.replace("/etc/otelcol", str(folder)) for one in command_of("otlp")]
    collector = Collector(f"http://{HOST}:{port}", folder / "otelcol.log")
    async with serving("otelcol", arguments, collector.log, ready=lambda: _listens(port)):
        yield collector


async def _listens(port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
