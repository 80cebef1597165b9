"""Faults of what looks on: logs that nobody takes, logs that are taken no longer, a metrics port that is taken."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import socket
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.kills import LANE, ROAD
from tests.chaos.trial import Fault, Trial

SMALL_BYTES: Final = 4_096
LINE_BYTES: Final = 500
"""A pipe with less room than this takes no further line."""
READER_SECONDS: Final = 10
NOBODY_READS: Final = 'exec "$@" >"$0" 2>&1'
READER_GOES: Final = f'exec "$@" > >(exec sleep {READER_SECONDS}) 2>&1'
SPEAKING: Final = (*ROAD, *LANE)


async def logs_pile_up(trial: Trial) -> None:
    """What services say goes into pipes that nobody reads, and that are full soon: the lists go on."""
    system = trial.system
    await system.stop(*SPEAKING)
    with pipes(system.folder) as given:
        for name in SPEAKING:
            pipe, descriptor = given[name]
            system.start_through(name, "bash", "-c", NOBODY_READS, str(pipe))
            await system.until(f"a line of {name}", partial(unread_bytes, descriptor))
        for _ in range(3):
            trial.load(customers=4, images=60)
            await system.finished(trial.jobs)
        lane = [unread_bytes(given[name][1]) for name in LANE]
        assert max(lane) > SMALL_BYTES - LINE_BYTES, f"no pipe is full: {lane} bytes"
        await system.stop(*SPEAKING)
    system.start(*SPEAKING)
    trial.healed()


async def logs_break_off(trial: Trial) -> None:
    """Who takes the logs ends, and writing them fails: the lists go on."""
    system = trial.system
    await system.stop(*SPEAKING)
    for name in SPEAKING:
        system.start_through(name, "bash", "-c", READER_GOES, "bash")
    await asyncio.sleep(READER_SECONDS)
    for _ in range(2):
        trial.load(customers=4, images=60)
        await system.finished(trial.jobs)
    await system.stop(*SPEAKING)
    system.start(*SPEAKING)
    trial.healed()


async def metrics_port_taken(trial: Trial) -> None:
    """A worker whose port for metrics is taken does not start, and names the setting; the others go on."""
    system, name = trial.system, "dispatcher-2"
    log = system.folder / "logs" / f"{name}.log"
    await system.stop(name)
    before = log.stat().st_size
    port = system.stack.health_ports[name]
    with socket.create_server(("127.0.0.1", port)):
        system.start(name)
        await system.until(
            "its complaint", lambda: "IMAGELANE_HEALTH__PORT" in log.read_text()[before:]
        )
        refused = system.stack.supervisor.refused
        await system.until("its end", refused.done)
        assert "IMAGELANE_HEALTH__PORT" in str(refused.exception())
        trial.load(customers=4, images=60)
        await system.finished(trial.jobs)
    system.start(name)
    trial.healed()


@contextmanager
def pipes(folder: Path) -> Iterator[dict[str, tuple[Path, int]]]:
    """A small pipe for each process, open at the end where nobody reads."""
    given = {}
    for name in SPEAKING:
        pipe = folder / f"pipe-{name}"
        os.mkfifo(pipe)
        descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, SMALL_BYTES)
        given[name] = pipe, descriptor
    try:
        yield given
    finally:
        for pipe, descriptor in given.values():
            os.close(descriptor)
            pipe.unlink()


def unread_bytes(descriptor: int) -> int:
    """How much lies in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


FAULTS: Final = [
    Fault("F39:full", "logs go into pipes that nobody reads", logs_pile_up),
    Fault("F39:closed", "nobody takes the logs any more", logs_break_off),
    Fault("F39:port", "a worker's port for metrics is taken", metrics_port_taken),
]
