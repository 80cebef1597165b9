"""Many trials after each other, on as few stacks as they need; what a failed one leaves is kept."""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.catalogue import ALL
from tests.chaos.ledger import Ledger
from tests.chaos.starting import Setup, started
from tests.chaos.system import System
from tests.chaos.trial import Fault, Outcome, tried
from tests.e2e.images import TINY_IMAGES, Images, serving

from imagelane.ops.broker import BrokerSetupError
from imagelane.ops.photos import make_tiny
from imagelane.ops.supervisor import ProgramError
from imagelane.ops.topics import TopicsError

ARTIFACTS: Final = Path(__file__).parent.parent.parent / "build" / "chaos"
SLOW_SECONDS: Final = 0.2
START_TRIES: Final = 3
START_ERRORS: Final = (BrokerSetupError, ProgramError, TopicsError)
TRIALS_ON_A_STACK: Final = 30
RUNS: Final = 3
OFTEN_RUNS: Final = 20
OFTEN: Final = frozenset({"F02", "F03", "F12", "F13", "F27", "F33"})


@contextmanager
def image_servers() -> Iterator[Images]:
    """The customers' servers."""
    with tempfile.TemporaryDirectory(prefix="chaos-images-") as name:
        folder = Path(name)
        make_tiny(folder, TINY_IMAGES)
        (folder / "lists").mkdir()
        with serving(folder, 0.0) as url, serving(folder, SLOW_SECONDS) as slow_url:
            yield Images(url, slow_url, folder)


class Stacks:
    """Gives the stack that a fault needs: the present one, if it is fit for that."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._open = AsyncExitStack()
        self._system: System | None = None
        self._setup: Setup | None = None
        self._trials = 0
        self._keep = False
        self._removals: list[asyncio.Task[None]] = []

    async def fit_for(self, fault: Fault) -> System:
        """A running stack."""
        if self._setup != fault.setup or self._trials >= TRIALS_ON_A_STACK:
            await self.end()
        for tries_left in reversed(range(START_TRIES)):
            if self._system is not None:
                break
            try:
                self._system = await self._started(fault)
            except START_ERRORS:  # somebody else may have taken a port that was free
                await self.end(keep=not tries_left)
                if not tries_left:
                    raise
        assert self._system is not None
        self._trials += 1
        return self._system

    async def _started(self, fault: Fault) -> System:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{fault.id.lower()}-", dir=ARTIFACTS))
        self._open.callback(self._forget, folder)
        self._setup, self._trials = fault.setup, 0
        return await self._open.enter_async_context(started(fault.setup, folder, self._images))

    async def end(self, *, keep: bool = False) -> None:
        """Ends the present stack, and removes its folder unless it is to be kept."""
        self._keep = keep
        self._system = self._setup = None
        await self._open.aclose()

    def _forget(self, folder: Path) -> None:
        if not self._keep:  # some 8,000 files: beside the next stack, or all wait for the disk
            self._removals.append(asyncio.create_task(asyncio.to_thread(shutil.rmtree, folder)))

    async def close(self) -> None:
        """Ends the present stack; every folder that is not kept is gone then."""
        await self.end()
        await asyncio.gather(*self._removals)


@asynccontextmanager
async def stacks() -> AsyncIterator[Stacks]:
    """For the block."""
    with image_servers() as images:
        made = Stacks(images)
        try:
            yield made
        finally:
            await made.close()


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is tried: `runs` of each fault, or as many as its weight asks for, within so many minutes."""

    seconds: float
    runs: int | None = None
    first_seed: int = 1
    minutes: float = math.inf
    again: bool = False
    """Also what was tried before, with the same code."""

    def seeds(self, fault: Fault) -> range:
        """With which seeds the fault is tried."""
        return range(self.first_seed, self.first_seed + (self.runs or runs_of(fault)))


def runs_of(fault: Fault) -> int:
    """Three; for the faults that matter most twenty, spread over the variants."""
    if fault.id not in OFTEN:
        return RUNS
    variants = sum(one.id == fault.id for one in ALL)
    return max(RUNS, math.ceil(OFTEN_RUNS / variants))


async def campaign(
    faults: list[Fault], scope: Scope, ledger: Ledger, say: Callable[[str], None]
) -> bool:
    """Tries every fault with every seed, unless that was done. `say` hears a line about each run.

    False if the time was over before the end.
    """
    ends_at = time.monotonic() + scope.minutes * 60
    possible = [fault for fault in faults if not fault.missing]
    possible.sort(key=lambda fault: (repr(fault.setup), fault.spoils))
    async with stacks() as given:
        for fault in possible:
            for seed in scope.seeds(fault):
                if ledger.has(fault.name, seed) and not scope.again:
                    continue
                if time.monotonic() > ends_at:
                    return False
                await _run(given, fault, seed, scope.seconds, ledger, say)
    return True


async def _run(
    given: Stacks,
    fault: Fault,
    seed: int,
    seconds: float,
    ledger: Ledger,
    say: Callable[[str], None],
) -> None:
    try:
        system = await given.fit_for(fault)
    except START_ERRORS as error:
        ledger.add(Outcome(fault.name, seed, 0.0, None, [f"no start: {error}"]), None)
        say(f"{fault.name} seed {seed}: the stack did not start: {error}")
        return
    outcome = await tried(system, fault, seed=seed, seconds=seconds)
    ledger.add(outcome, system.folder if outcome.violations else None)
    say(line_of(outcome, system.folder))
    if fault.spoils or outcome.violations:
        await given.end(keep=bool(outcome.violations))


def line_of(outcome: Outcome, folder: Path) -> str:
    """One line about a run; more only if a promise was broken."""
    recovered = outcome.recovery_seconds
    words = "" if recovered is None else f", recovered in {recovered:.1f} s"
    head = f"{outcome.name} seed {outcome.seed}: {outcome.seconds:.0f} s{words}: "
    if not outcome.violations:
        return head + "kept"
    return head + "\n  ".join([f"BROKEN, see {folder}", *outcome.violations[:10]])
