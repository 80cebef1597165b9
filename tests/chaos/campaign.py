"""Many trials after each other, on as few stacks as they need; what a failed one leaves is kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

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
TRIALS_ON_A_STACK: Final = 30


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

    async def fit_for(self, fault: Fault) -> System:
        """A running stack."""
        if self._setup != fault.setup or self._trials >= TRIALS_ON_A_STACK:
            await self.end()
        if self._system is None:
            ARTIFACTS.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{fault.id.lower()}-", dir=ARTIFACTS))
            self._open.callback(self._forget, folder)
            running = started(fault.setup, folder, self._images)
            self._system = await self._open.enter_async_context(running)
            self._setup, self._trials = fault.setup, 0
        self._trials += 1
        return self._system

    async def end(self, *, keep: bool = False) -> None:
        """Ends the present stack, and removes its folder unless it is to be kept."""
        self._keep = keep
        self._system = self._setup = None
        await self._open.aclose()

    def _forget(self, folder: Path) -> None:
        if not self._keep:
            shutil.rmtree(folder)


@asynccontextmanager
async def stacks() -> AsyncIterator[Stacks]:
    """For the block."""
    with image_servers() as images:
        made = Stacks(images)
        try:
            yield made
        finally:
            await made.end()


async def campaign(
    faults: list[Fault], *, seeds: range, seconds: float, say: Callable[[str], None]
) -> list[Outcome]:
    """Tries every fault with every seed. `say` hears a line about each run."""
    outcomes: list[Outcome] = []
    possible = [fault for fault in faults if not fault.missing]
    possible.sort(key=lambda fault: (repr(fault.setup), fault.spoils))
    async with stacks() as given:
        for fault in possible:
            for seed in seeds:
                try:
                    system = await given.fit_for(fault)
                except (BrokerSetupError, ProgramError, TopicsError) as error:
                    outcomes.append(Outcome(fault.name, seed, 0.0, None, [f"no start: {error}"]))
                    say(f"{fault.name} seed {seed}: the stack did not start: {error}")
                    await given.end(keep=True)
                    continue
                outcome = await tried(system, fault, seed=seed, seconds=seconds)
                outcomes.append(outcome)
                say(line_of(outcome, system.folder))
                if fault.spoils or outcome.violations:
                    await given.end(keep=bool(outcome.violations))
    return outcomes


def line_of(outcome: Outcome, folder: Path) -> str:
    """One line about a run; more only if a promise was broken."""
    recovered = outcome.recovery_seconds
    words = "" if recovered is None else f", recovered in {recovered:.1f} s"
    head = f"{outcome.name} seed {outcome.seed}: {outcome.seconds:.0f} s{words}: "
    if not outcome.violations:
        return head + "kept"
    return head + "\n  ".join([f"BROKEN, see {folder}", *outcome.violations[:10]])
