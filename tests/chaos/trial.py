"""One try of one fault: lists of its own, the fault itself, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from aiohttp import ClientError
from confluent_kafka import KafkaException
from tests.chaos.starting import Setup
from tests.chaos.system import Job, System

SETTLE_SECONDS: Final = 120.0
TROUBLES: Final = (AssertionError, KafkaException, ClientError, OSError, TimeoutError)
OF_THE_END: Final = {"lost", "unfinished", "miscounted", "failed_though_good"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: `strike` harms the system, heals it, and asserts what only this fault shows."""

    name: str
    says: str
    strike: Callable[[Trial], Awaitable[None]]
    setup: Setup = field(default_factory=Setup)
    spoils: bool = False
    """The stack cannot be used by another trial afterwards."""
    ends: bool = True
    """Its lists come to their end; if not, only what may never happen is looked at."""
    settle_seconds: float = SETTLE_SECONDS
    """How long its lists may take to end once nothing is harmed any more."""
    missing: str = ""
    """Why it cannot be tried here, or not yet."""

    @property
    def id(self) -> str:
        """The fault's number in the table, such as `F02`."""
        return self.name.partition(":")[0]


@dataclass(slots=True)
class Trial:
    """What a fault works with. `seconds` is how long a fault that goes on shall go on."""

    system: System
    random: Random
    name: str
    seconds: float
    jobs: list[Job] = field(default_factory=list)
    healed_at: float = 0.0
    began_at: float = field(default_factory=time.monotonic)

    @property
    def customers(self) -> set[str]:
        """Whose lists were handed in."""
        return {job.customer for job in self.jobs}

    def submit(self, customer: str, count: int, **how: bool) -> Job:
        """Hands in a list of a customer of this trial."""
        job = self.system.submit(f"{self.name}-{customer}", count, random=self.random, **how)
        self.jobs.append(job)
        return job

    def load(self, customers: int, images: int) -> None:
        """Hands in a list of each of so many customers."""
        for number in range(customers):
            self.submit(f"c{number}", images)

    def seen(self, topic: str) -> int:
        """How many records of this trial's customers are on the topic."""
        return sum(self.system.onlooker.counts[topic, one] for one in self.customers)

    def healed(self) -> None:
        """From now on nothing is harmed any more."""
        self.system.note("healed", trial=self.name)
        self.healed_at = time.monotonic()

    async def under_way(self, topic: str = "processed", share: float = 0.25) -> None:
        """Waits until a good part of all images has come to this topic."""
        images = sum(job.images for job in self.jobs)
        await self.system.until(
            f"{share:.0%} of {images} images on {topic}", lambda: self.seen(topic) >= share * images
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial. Recovery: from the end of the fault until all its lists were finished."""

    name: str
    seed: int
    seconds: float
    recovery_seconds: float | None
    violations: list[str]


async def tried(system: System, fault: Fault, *, seed: int, seconds: float = 30.0) -> Outcome:
    """Tries a fault once."""
    began = time.monotonic()
    name = f"{fault.name.replace(':', '-')}-{seed}".lower()
    trial = Trial(system, Random(f"{fault.name} {seed}"), name, seconds)
    system.note("trial", trial=name)
    violations: list[str] = []
    recovery: float | None = None
    try:
        await fault.strike(trial)
        trial.healed_at = trial.healed_at or time.monotonic()
        if fault.ends:
            await system.finished(trial.jobs, fault.settle_seconds)
            recovery = time.monotonic() - trial.healed_at
    except TROUBLES as error:
        violations.append(f"{fault.name}: {type(error).__name__}: {error}")
    found = system.violations(trial.customers)
    violations += [str(one) for one in found if fault.ends or one.name not in OF_THE_END]
    return Outcome(fault.name, seed, time.monotonic() - began, recovery, violations)
