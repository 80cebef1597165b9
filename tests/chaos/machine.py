"""Faults of the machine: clocks that jump, a full disk, no memory; and a customer who takes all there is."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Final

from tests.chaos.starting import Setup, set_clock
from tests.chaos.trial import Fault, Trial

JUMPS: Final = (3_600, -3_600, 86_400, -86_400)
JUMPING: Final = Setup(false_clock=True)
SMALL: Final = Setup(small_disk=True)
FULL_SECONDS: Final = 10.0
HUNGRY: Final = ("downloader", "processor", "intake", "gateway")
OWN_BYTES: Final = 4 * 1024**2
STALLING_IMAGES: Final = 1_500
TIMES_SLOWER: Final = 3.0


async def clock_jumps(trial: Trial) -> None:
    """Every service's wall clock jumps by an hour and a day, forwards and back, while lists come in."""
    system = trial.system
    for jump in (*JUMPS, 0):
        system.note("clock", jump=jump)
        set_clock(system.folder, jump)
        trial.load(customers=3, images=50)
        await asyncio.sleep(4)
    trial.healed()


async def disk_full(trial: Trial) -> None:
    """No room for lists and originals: the services leave or wait, and nothing that was taken is lost."""
    system = trial.system
    folder = system.folder / "private"
    trial.load(customers=3, images=100)
    await trial.under_way("downloaded", share=0.2)
    filler = folder / "filler"
    with filler.open("wb") as file:
        space = os.statvfs(folder)
        file.write(bytes(space.f_bavail * space.f_frsize))
    system.note("disk full")
    trial.load(customers=3, images=20)
    await asyncio.sleep(FULL_SECONDS)
    filler.unlink()
    trial.healed()


async def no_memory(trial: Trial) -> None:
    """The kernel gives a service no more memory than it has: it ends or goes on, and loses nothing."""
    system = trial.system
    trial.load(customers=4, images=150)
    await trial.under_way("downloaded", share=0.1)
    for name in (*HUNGRY, "batcher-1", "dispatcher-1"):
        pid = system.stack.supervisor.pid(name)
        if pid is None:
            continue
        limit = _virtual_bytes(pid) + OWN_BYTES
        system.note("no memory", process=name)
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
        await asyncio.sleep(1.0)
    trial.submit("late", 200)
    await asyncio.sleep(5.0)
    trial.healed()
    await system.finished(trial.jobs)
    await asyncio.gather(*(system.kill(name) for name in (*HUNGRY, "batcher-1", "dispatcher-1")))


def _virtual_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


async def noisy_neighbour(trial: Trial) -> None:
    """One customer's long list on a slow server does not hold up another customer's few images."""
    system = trial.system
    alone = await seconds_for(trial, "quiet")
    trial.submit("noisy", STALLING_IMAGES)
    await system.until("the flood", lambda: trial.seen("downloaded") >= 100)
    beside = max([await seconds_for(trial, "quiet") for _ in range(3)])
    limit = TIMES_SLOWER * alone + 3
    assert beside < limit, f"10 images took {alone:.1f} s alone and {beside:.1f} s beside a flood"
    trial.healed()


async def seconds_for(trial: Trial, customer: str) -> float:
    """How long a list of ten takes."""
    began = time.monotonic()
    job = trial.submit(customer, 10, slow=False)
    await trial.system.until(
        "the end of ten images", lambda: job.job_id in trial.system.onlooker.ends
    )
    return time.monotonic() - began


FAULTS: Final = [
    Fault(
        "F20",
        "wall clocks jump by an hour and a day",
        clock_jumps,
        JUMPING,
        missing="" if shutil.which("cc") else "needs a C compiler",
    ),
    Fault(
        "F21",
        "the disk of lists and originals is full",
        disk_full,
        SMALL,
        missing="" if os.geteuid() == 0 else "needs root, for a small file system",
    ),
    Fault("F22", "no more memory for any service", no_memory),
    Fault("F37", "a flood beside ten images", noisy_neighbour),
]
