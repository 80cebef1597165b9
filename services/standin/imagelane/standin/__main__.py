"""`python -m imagelane.standin`: the stand-in as a process of its own, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import sys
from typing import Any

import uvloop

from imagelane.standin.app import running
from imagelane.standin.journal import BrokenJournalError
from imagelane.standin.options import Options, parse


async def _serve(options: Options) -> None:
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    async with running(options) as standin:
        ready = {"ready": True, "url": standin.url, "control_url": standin.control_url}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        ends: list[asyncio.Future[Any]] = [asyncio.create_task(stop.wait()), standin.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if standin.failed.done():
            standin.failed.result()


def main() -> None:
    """Runs until it is told to stop; exits with 2 and a sentence when it cannot start."""
    options = parse()
    try:
        uvloop.run(_serve(options))
    except BrokenJournalError as error:
        sys.exit(f"--journal {options.journal}: {error}")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.stderr.write(f"--port {options.port} on {options.host} is taken: choose another\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
