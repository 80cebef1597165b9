"""A program that has just ended by itself is not killed any more, however late its keeper notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

from imagelane.ops.supervisor import Program, Supervisor

ENDS_AT_ONCE = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done"


class LateKeeper(Supervisor):
    """Notices the end of a program late, as on a machine that is overloaded."""

    async def _run(self, program: Program) -> tuple[int, str]:
        ended = await super()._run(program)
        await asyncio.sleep(0.6)
        return ended


async def test_a_program_that_ended_in_time_is_stopped_though_its_keeper_is_late(
    tmp_path: Path,
) -> None:
    ready = asyncio.Event()
    supervisor = LateKeeper(tmp_path, say=lambda _name, _line: ready.set())
    supervisor.start(Program("quick", ("/bin/sh", "-c", ENDS_AT_ONCE), stop_seconds=0.3))
    async with asyncio.timeout(10):
        await ready.wait()
    await supervisor.stop_all()
    assert supervisor.pid("quick") is None
