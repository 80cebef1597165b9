"""Every part as its own process: started, kept alive, its output kept, ended within seconds."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from imagelane.ops.children import die_with_parent

RESTART_MIN_SECONDS: Final = 0.2
RESTART_MAX_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 10.0
WRONG_USAGE: Final = 2

Say = Callable[[str, str], None]
"""Called with a process's name and a line of its output."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, under which name; how it is asked to end, and how long it may take to do so.

    Services end within five seconds, a dispatcher whose request for a call is under way within sixteen.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: float = 18.0
    stop_signal: signal.Signals = signal.SIGTERM


class ProgramError(Exception):
    """A program refused to start: its settings are wrong. The message holds its last output."""


class Supervisor:
    """Runs programs and starts anew what dies. A program that exits with 2 (wrong settings) stays down.

    Everything ends with the supervisor, even when that is killed.
    """

    def __init__(self, logs: Path, *, say: Say = lambda _name, _line: None) -> None:
        self._logs = logs
        self._say = say
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._programs: dict[str, Program] = {}
        self.starts: dict[str, int] = {}
        self.refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, program: Program) -> None:
        """Runs the program from now on. Its output goes to `<logs>/<name>.log` and to `say`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._programs[program.name] = program
        self._keepers[program.name] = asyncio.create_task(self._keep(program))

    def pid(self, name: str) -> int | None:
        """The process id while the program runs."""
        process = self._processes.get(name)
        return process.pid if process and process.returncode is None else None

    def kill(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Sends a signal to a program, which is started anew if it dies of it."""
        pid = self.pid(name)
        if pid is None:
            raise ProcessLookupError(f"{name} does not run")
        os.kill(pid, signal_number)

    async def stop(self, name: str) -> None:
        """Ends one program in order and does not start it again; kills what stays too long."""
        keeper = self._keepers.pop(name, None)
        if keeper is None:
            return
        process = self._processes.pop(name, None)
        if process is None or process.returncode is not None:
            keeper.cancel()  # it waits before the next start
        else:
            program = self._programs[name]
            process.send_signal(program.stop_signal)
            await asyncio.wait(
                [keeper], timeout=program.stop_seconds
            )  # it reads the last lines, too
            if not keeper.done():
                self._say(name, "did not end in time and was killed")
                if process.returncode is None:  # else its keeper is only late
                    process.kill()
        await asyncio.gather(keeper, return_exceptions=True)

    async def stop_all(self, *, last: tuple[str, ...] = ()) -> None:
        """Ends everything at once, then the `last` ones in their order."""
        await asyncio.gather(*(self.stop(name) for name in [*self._keepers] if name not in last))
        for name in last:
            await self.stop(name)

    async def _keep(self, program: Program) -> None:
        pause = RESTART_MIN_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            code, output = await self._run(program)
            if code == WRONG_USAGE:
                if not self.refused.done():
                    self.refused.set_exception(ProgramError(f"{program.name}: {output}"))
                return
            if self._keepers.get(program.name) is not asyncio.current_task():
                return
            self._say(program.name, f"ended with {code}; starting it again")
            pause = RESTART_MIN_SECONDS if loop.time() - began > STEADY_SECONDS else pause * 2
            await asyncio.sleep(min(pause, RESTART_MAX_SECONDS))

    async def _run(self, program: Program) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *program.command,
            env={**os.environ, **program.environment},  # noqa: TID251 - children inherit ours
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends them in order
            preexec_fn=die_with_parent,
            limit=1 << 20,
        )
        self._processes[program.name] = process
        self.starts[program.name] = self.starts.get(program.name, 0) + 1
        last: list[str] = []
        with (self._logs / f"{program.name}.log").open("a", encoding="utf-8") as log:
            async for line in _lines(process):
                log.write(line + "\n")
                log.flush()
                last = [*last[-20:], line]
                self._say(program.name, line)
        return await process.wait(), "\n".join(last)


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    if process.stdout is None:
        return
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # longer than the limit; asyncio has dropped it
            continue
        if not line:
            return
        yield line.decode(errors="replace").rstrip("\n")
