"""How a service starts and ends: settings, logs, signals, exit code. The same for all of them."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
import uvloop

from imagelane.core.poison import PoisonFloodError
from imagelane.platform import logs
from imagelane.platform.rotation import end_when_changed
from imagelane.platform.settings import ServiceSettings, SettingsError, load_or_exit
from imagelane.platform.topology import TopologyError

Settings = TypeVar("Settings", bound=ServiceSettings)
Run = Callable[[Settings, asyncio.Event], Awaitable[None]]

GARBAGE_THRESHOLDS: Final = (20_000, 20, 20)
"""Looks for cyclic garbage less often than Python's 700: that took 5 % of the CPU time (measured)."""
WRONG_TOPICS: Final = 76
POISON: Final = 65
"""`EX_DATAERR` of sysexits.h: the input was wrong, not the service."""


async def leave_with(failed: asyncio.Future[None]) -> None:
    """As a service's task: raises why one of its parts cannot go on, and ends the service with it."""
    await failed


def run_service(name: str, settings_class: type[Settings], run: Run[Settings]) -> None:
    """Runs `run(settings, stop)` until it returns; SIGTERM and SIGINT set `stop`, and so do new credentials for Kafka.

    Exits with 0 after a clean end, 1 after an unexpected error (logged once, here), 2 for wrong
    settings, also when they prove wrong in use and `run` raises `SettingsError`, 76 after a
    `TopologyError`, 65 after a `PoisonFloodError`: each is one line of the log. A service that cannot go on raises: the
    supervisor or Kubernetes starts it anew.
    """
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    settings = load_or_exit(settings_class)
    logs.configure(settings.log, service=name)
    log = structlog.get_logger("imagelane.lifecycle")

    async def main() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, stop.set)
        log.info("service.started")
        code = 0
        rotation = asyncio.create_task(end_when_changed(settings.kafka.security, stop))
        try:
            await run(settings, stop)
            log.info("service.stopped")
        except* TopologyError as differences:
            log.error("topology.differs", reason=str(differences.exceptions[0]))  # noqa: TRY400 - said in full
            code = WRONG_TOPICS
        except* PoisonFloodError as floods:
            log.error("poison.flood", reason=str(floods.exceptions[0]))  # noqa: TRY400 - said in full
            code = POISON
        finally:
            rotation.cancel()
        return code

    try:
        code = uvloop.run(main())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except Exception:
        log.exception("service.failed")
        sys.exit(1)
    sys.exit(code)
