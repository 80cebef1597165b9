"""The supervisor, with real processes."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from tests.waiting import eventually

from imagelane.ops.supervisor import Program, ProgramError, Supervisor

DEADLINE_SECONDS: Final = 30.0
WAITS: Final = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN: Final = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


def program(name: str, code: str, stop_seconds: float = 8.0) -> Program:
    return Program(name, (sys.executable, "-u", "-c", code), stop_seconds=stop_seconds)


@pytest.fixture
def said() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, said: list[tuple[str, str]]) -> AsyncIterator[Supervisor]:
    one = Supervisor(tmp_path, say=lambda name, line: said.append((name, line)))
    yield one
    await one.stop_all()


async def test_output_is_kept_and_told_under_the_program_s_name(
    supervisor: Supervisor, said: list[tuple[str, str]], tmp_path: Path
) -> None:
    supervisor.start(program("waiter", WAITS))
    await eventually(lambda: ("waiter", "up") in said)
    assert (tmp_path / "waiter.log").read_text() == "up\n"


async def test_what_is_killed_runs_again_under_another_pid(
    supervisor: Supervisor, said: list[tuple[str, str]]
) -> None:
    supervisor.start(program("waiter", WAITS))
    await eventually(lambda: said.count(("waiter", "up")) == 1)
    first = supervisor.pid("waiter")
    supervisor.kill("waiter", signal.SIGKILL)
    await eventually(lambda: said.count(("waiter", "up")) == 2)
    assert supervisor.pid("waiter") not in (None, first)
    assert supervisor.starts["waiter"] == 2


async def test_wrong_settings_are_not_tried_again_and_end_the_whole(supervisor: Supervisor) -> None:
    supervisor.start(program("refuser", "import sys; print('no IMAGELANE_X'); sys.exit(2)"))
    with pytest.raises(ProgramError, match="refuser: no IMAGELANE_X"):
        await asyncio.wait_for(supervisor.refused, DEADLINE_SECONDS)
    assert supervisor.starts["refuser"] == 1


async def test_a_program_that_ignores_sigterm_is_killed(
    supervisor: Supervisor, said: list[tuple[str, str]]
) -> None:
    supervisor.start(program("stubborn", STUBBORN, stop_seconds=0.2))
    await eventually(lambda: ("stubborn", "up") in said)
    await supervisor.stop("stubborn")
    assert supervisor.pid("stubborn") is None
    assert ("stubborn", "did not end in time and was killed") in said


async def test_killing_what_does_not_run_says_so(supervisor: Supervisor) -> None:
    with pytest.raises(ProcessLookupError, match="nobody does not run"):
        supervisor.kill("nobody")


async def test_a_line_without_an_end_does_not_stop_the_reading(
    supervisor: Supervisor, said: list[tuple[str, str]]
) -> None:
    endless = "import sys; sys.stdout.write('x' * 3_000_000 + '\\n'); " + WAITS
    supervisor.start(program("loud", endless))
    await eventually(lambda: ("loud", "up") in said)
