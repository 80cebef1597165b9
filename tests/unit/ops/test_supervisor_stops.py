"""A program that has just ended by itself is not killed any more, however late the supervisor notices."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from imagelane.ops.supervisor import Program, Supervisor

SAYS_BYE = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done"


async def test_a_program_that_ended_while_the_loop_was_starved_is_stopped(tmp_path: Path) -> None:
    ready = asyncio.Event()

    def say(_name: str, line: str) -> None:
        ready.set()
        if line == "bye":
            time.sleep(0.6)  # noqa: ASYNC251 - the loop is starved, on purpose, beyond the stop's time

    supervisor = Supervisor(tmp_path, say=say)
    supervisor.start(Program("quick", ("/bin/sh", "-c", SAYS_BYE), stop_seconds=0.3))
    async with asyncio.timeout(10):
        await ready.wait()
    await supervisor.stop_all()
    assert supervisor.pid("quick") is None
