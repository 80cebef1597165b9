"""Faults of processes: killed between any two durable steps, paused, ended in order, at random."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.proxy import Weather
from tests.chaos.starting import SESSION_SECONDS, Setup
from tests.chaos.trial import Fault, Trial

FAILPOINTS: Final = (
    "before_plan",
    "after_plan",
    "after_attempt",
    "after_bytes",
    "after_2xx",
    "after_active",
    "after_resolve",
)
SLEPT: Final = 70
ROAD: Final = ("intake", "downloader", "processor", "gateway")
LANE: Final = ("batcher-1", "batcher-2", "batcher-3", "dispatcher-1", "dispatcher-2")
MANY: Final = Setup(
    workers=(("batcher", 3), ("dispatcher", 2), ("downloader", 2), ("processor", 2))
)
EVERY_ONE_OF_MANY: Final = (
    "intake",
    *("downloader-1", "downloader-2", "processor-1", "processor-2"),
    *LANE,
)
WORKS_WITH: Final = {"batcher": b'"gate.opened"', "dispatcher": b'"log.restored"'}
"""What a worker's log has once it has something to lose; `partitions.assigned` for the others."""
LOAD_SECONDS: Final = 3.0


async def dispatcher_dies_at(trial: Trial, point: str) -> None:
    """The first dispatcher that comes to the point dies of it; the other one, or its successor, goes on."""
    system = trial.system
    marker = system.folder / f"marker-{trial.name}"
    await arm(trial, marker, IMAGELANE_DISPATCHER__FAILPOINT=point)
    trial.load(customers=5, images=60)
    await system.until(f"a dispatcher's death {point}", marker.exists)
    trial.healed()


async def arm(trial: Trial, marker: Path, **settings: str) -> None:
    """Starts the dispatchers anew with a failpoint that works once."""
    dispatchers = trial.system.stack.names_of("dispatcher")
    await trial.system.stop(*dispatchers)
    trial.system.start(
        *dispatchers,
        IMAGELANE_DISPATCHER__ALLOW_FAILPOINTS="true",
        IMAGELANE_DISPATCHER__FAILPOINT_MARKER=str(marker),
        **settings,
    )


async def dispatcher_wakes_as_zombie(trial: Trial, point: str) -> None:
    """Stops at the point for longer than a session; another takes over; it wakes, and goes on from there."""
    system = trial.system
    marker = system.folder / f"marker-{trial.name}"
    stop = {"IMAGELANE_DISPATCHER__FAILPOINT_ACTION": "stop"}
    await arm(trial, marker, IMAGELANE_DISPATCHER__FAILPOINT=point, **stop)
    trial.load(customers=5, images=60)
    await system.until(f"a dispatcher stops {point}", marker.exists)
    dispatchers = system.stack.names_of("dispatcher")
    await system.until("a stopped process", lambda: any(map(system.is_stopped, dispatchers)), 10)
    (name,) = filter(system.is_stopped, dispatchers)
    await asyncio.sleep(SESSION_SECONDS * 1.5)
    system.send(name, signal.SIGCONT)
    trial.healed()
    await left_with(trial, name, SLEPT)


async def batcher_wakes_as_zombie(trial: Trial) -> None:
    """The same for a batcher, in the middle of the images."""
    await trial.system.until("a batcher with lanes", partial(works, trial, "batcher-1"))
    trial.load(customers=6, images=80)
    await trial.under_way()
    await pause(trial, "batcher-1", SESSION_SECONDS * 1.5)
    trial.healed()
    await left_with(trial, "batcher-1", SLEPT)


async def pause(trial: Trial, name: str, seconds: float) -> None:
    """Pauses a process, and lets it go on."""
    trial.system.send(name, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        trial.system.send(name, signal.SIGCONT)


async def left_with(trial: Trial, name: str, code: int) -> None:
    """Waits until the process has left by itself, with this code, since the last signal it was sent."""
    system = trial.system
    since = max(e["monotonic"] for e in system.history.entries if e.get("process") == name)

    def left() -> bool:
        return any(
            f"{name} ended with {code};" in ending and float(ending.split()[0]) >= since - 0.1
            for ending in system.endings
        )

    await system.until(f"{name} leaves with {code}", left, 30)


async def worker_sleeps(trial: Trial, service: str) -> None:
    """One of two workers of the road sleeps; the other one does its images again."""
    trial.load(customers=3, images=120)
    await trial.under_way("downloaded", share=0.1)
    await pause(trial, f"{service}-1", min(trial.seconds, 60.0))
    trial.healed()


async def random_kills(trial: Trial) -> None:
    """Any process but the API's is killed every few seconds."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load(trial))
        tasks.create_task(harm(trial, [*ROAD, *LANE], [signal.SIGKILL], (2.0, 8.0)))
    trial.healed()


async def random_mix(trial: Trial) -> None:
    """Kills, orderly ends, pauses and joins of all batchers and dispatchers; now and then of the others."""
    every = [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGHUP]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load(trial))
        tasks.create_task(harm(trial, LANE[:3], every, (1.0, 8.0)))
        tasks.create_task(harm(trial, LANE[3:], every, (1.0, 8.0)))
        tasks.create_task(harm(trial, ROAD, [signal.SIGKILL, signal.SIGTERM], (10.0, 20.0)))
    trial.healed()


async def load(trial: Trial) -> None:
    """A list every few seconds, while the trial lasts."""
    ends_at = time.monotonic() + trial.seconds
    while time.monotonic() < ends_at:
        trial.submit(f"c{trial.random.randrange(6)}", trial.random.randrange(20, 80))
        await asyncio.sleep(LOAD_SECONDS)


async def harm(
    trial: Trial,
    names: list[str] | tuple[str, ...],
    how: list[signal.Signals],
    gap_seconds: tuple[float, float],
) -> None:
    """Harms one of the processes again and again, while the trial lasts. SIGHUP stands for: away, and back."""
    ends_at = time.monotonic() + trial.seconds
    random, system = trial.random, trial.system
    while time.monotonic() < ends_at:
        name, what = random.choice(names), random.choice(how)
        if system.stack.supervisor.pid(name) is None:  # it waits for its next start
            await asyncio.sleep(0.5)
            continue
        if what is signal.SIGHUP:
            await system.stop(name)
            await asyncio.sleep(random.uniform(0.5, 4.0))
            system.start(name)
        elif what is signal.SIGSTOP:
            await pause(trial, name, random.uniform(0.5, 1.6) * SESSION_SECONDS)
        else:
            system.send(name, what)
        await asyncio.sleep(random.uniform(*gap_seconds))


async def rolling_restart(trial: Trial) -> None:
    """Every worker is ended in order and started anew, twice, the next one once it works again, while lists come in."""
    restarted = asyncio.Event()
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load_until(trial, restarted))
        for _ in range(2):
            for name in EVERY_ONE_OF_MANY:
                await trial.system.until(f"{name} works", partial(works, trial, name))
                written = log_of(trial, name).stat().st_size
                await trial.system.kill(name, signal.SIGTERM)
                again = partial(works, trial, name, written)
                await trial.system.until(f"{name} works again", again)
        restarted.set()
    trial.healed()
    await trial.system.finished(trial.jobs)
    instants = [began, *(at for at in trial.system.onlooker.progress if at > began)]
    widest = max((b - a for a, b in itertools.pairwise(instants)), default=0.0)
    assert widest < 15.0, f"no image was processed for {widest:.1f} s"
    twice = sum(
        times - 1
        for job in trial.jobs
        for times in trial.system.onlooker.fetched[job.job_id].values()
    )
    images = sum(job.images for job in trial.jobs)
    assert twice <= 0.02 * images, f"{twice} of {images} images were fetched more than once"


async def load_until(trial: Trial, enough: asyncio.Event) -> None:
    """A list every few seconds."""
    for customer in itertools.cycle(range(4)):
        if enough.is_set():
            return
        trial.submit(f"c{customer}", 60)
        await asyncio.sleep(LOAD_SECONDS)


def works(trial: Trial, name: str, since: int = 0) -> bool:
    """Whether the worker has taken partitions over since it was started, behind so many bytes of its log."""
    log = log_of(trial, name).read_bytes()[since:]
    sign = WORKS_WITH.get(name.partition("-")[0], b'"partitions.assigned"')
    return log.rfind(sign) > log.rfind(b'"service.started"') >= 0


def log_of(trial: Trial, name: str) -> Path:
    """What the process says."""
    return trial.system.folder / "logs" / f"{name}.log"


async def intake_dies_inside_a_list(trial: Trial) -> None:
    """Killed twice while it fans a list out, which goes on inside of it and is sealed once all is out."""
    job = trial.submit("large", 1_600)
    for share in (0.2, 0.5):
        await trial.under_way("requested", share)
        assert trial.system.onlooker.accepted.get(job.job_id, -1) == -1, "it was sealed too early"
        await trial.system.kill("intake")
    trial.healed()


async def dispatcher_ends_while_it_sends(trial: Trial) -> None:
    """SIGTERM while requests are on their way: it ends in time, and nothing is sent twice."""
    system = trial.system
    await system.api.set(Weather(late_seconds=2.0, only=b"POST"))
    trial.load(customers=6, images=60)
    await system.until("requests for calls", lambda: trial.seen("batches") >= 6)
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await asyncio.gather(*(system.kill(name, signal.SIGTERM) for name in LANE[3:]))
    assert time.monotonic() - began < 25, "the end took too long"
    await system.api.calm()
    trial.healed()


FAULTS: Final = [
    Fault("F01", "SIGKILL of any process every few seconds", random_kills),
    *(
        Fault(f"F02:{at}", f"dispatcher killed {at}", partial(dispatcher_dies_at, point=at))
        for at in FAILPOINTS
    ),
    *(
        Fault(
            f"F03:{at}",
            f"dispatcher stopped {at} for 1.5 sessions",
            partial(dispatcher_wakes_as_zombie, point=at),
        )
        for at in ("after_plan", "after_attempt", "after_bytes", "after_2xx")
    ),
    Fault("F03:batcher", "batcher paused 1.5 sessions", batcher_wakes_as_zombie),
    *(
        Fault(f"F04:{name}", f"{name} paused", partial(worker_sleeps, service=name), MANY)
        for name in ("downloader", "processor")
    ),
    Fault("F05", "rolling restart of everything, twice", rolling_restart, MANY),
    Fault("F35", "intake killed inside a list, twice", intake_dies_inside_a_list),
    Fault("F40", "SIGTERM of both dispatchers while they send", dispatcher_ends_while_it_sends),
    Fault("MIX", "SIGKILL, SIGTERM, SIGSTOP + SIGCONT and joins at random", random_mix),
]
