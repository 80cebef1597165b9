"""Programs that `make test-monitoring` builds, started with what docker-compose.yml gives them."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from imagelane.ops.children import die_with_parent

ROOT: Final = Path(__file__).parents[3]
COMPOSE: Final = ROOT / "compose"
SERVICES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.2


def program(name: str) -> str:
    """Where it is. Raises `AssertionError` that says who builds it."""
    found = shutil.which(name)
    assert found, f"{name} is missing: `make test-monitoring` builds it (it needs Go)"
    return found


def command_of(service: str) -> list[str]:
    """What Compose starts the service's program with."""
    command: list[str] = SERVICES[service]["command"]
    return command


@asynccontextmanager
async def serving(
    name: str, arguments: Sequence[str], log: Path, *, ready: Callable[[], Awaitable[bool]]
) -> AsyncIterator[None]:
    """Runs the program for the block, which begins when it is ready; what it says goes to the log."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program(name), *arguments, stdout=output, stderr=output, preexec_fn=die_with_parent
        )
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not await ready():
                _assert_alive(process, deadline, log)
                await asyncio.sleep(LOOK_SECONDS)
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()


def _assert_alive(process: asyncio.subprocess.Process, deadline: float, log: Path) -> None:
    assert process.returncode is None, log.read_text()
    assert time.monotonic() < deadline, log.read_text()
