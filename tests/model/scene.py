"""What there is in the world, and its time. The actions are in the modules beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tests.model.batch_api import LATE_SECONDS, LATEST_SECONDS, BatchApi, Request
from tests.model.batcher import INPUTS, Batcher
from tests.model.broker import PARTITIONS, Broker
from tests.model.clock import new_clock
from tests.model.customers import JOBS, Road, image_of
from tests.model.dispatcher import ActiveErrand, Dispatcher

from imagelane.dispatcher.core import answers as a
from imagelane.dispatcher.core.policy import Capabilities, Policy
from imagelane.dispatcher.settings import DispatcherSettings

DRAIN_SECONDS: Final = 60.0
WAITS: Final = (0.3, 2.0, 6.0, 11.0, 21.0, 70.0)
LONGEST_WAIT_SECONDS: Final = 3_000.0
JUMPS: Final = (-3_600, -60, 60, 3_600)
MAX_SKEW: Final = timedelta(hours=2)


@dataclass(frozen=True)
class Setup:
    """Which world. `sweeps`: with the sweep switched on, and images that are dropped on the road."""

    level: Capabilities
    item_attempts: int = 1
    sweeps: bool = False
    drain_seconds: float = DRAIN_SECONDS

    @property
    def policy(self) -> Policy:
        return DispatcherSettings(
            capabilities=self.level,
            drain_seconds=self.drain_seconds,
            item_attempts=self.item_attempts,
        ).policy()


@dataclass(eq=False)
class InFlight:
    """A request for a new call after its bytes were handed over."""

    request: Request
    by: Dispatcher
    active: ActiveErrand
    sent_at: float
    answer: a.StartAnswer | None = None
    is_answered: bool = False


class Scene:
    """Everything there is."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.clock = new_clock()
        self.broker = Broker()
        self.roads = {job: Road() for _, job in JOBS}
        self.api = BatchApi(setup.level, self.clock, self._is_readable)
        self.in_flight: list[InFlight] = []
        self.processes: list[Dispatcher] = []
        self.batchers = {
            at: self._batcher(at, dict.fromkeys(INPUTS, 0)) for at in range(PARTITIONS)
        }
        self.zombies: list[Batcher] = []
        self._swept = [0] * PARTITIONS

    # Time

    def pass_time(self, which: int) -> None:
        self.wait(WAITS[which % len(WAITS)])

    def wait_for_next(self) -> None:
        """Until somebody has something to do."""
        now = self.clock.seconds
        due = [one.due_at for p in self.processes for one in p.errands.values()]
        due += [lane.wake_at_seconds for one in self.batchers.values() for lane in one.lanes]
        later = [at for at in due if now < at < now + LONGEST_WAIT_SECONDS]
        self.wait(min(later) - now if later else 0.2)

    def sleep_long(self, hours: int) -> None:
        """Everything stands still for hours, and requests may still be on their way."""
        self.wait(3_600.0 * hours)

    def jump(self, which: int) -> None:
        """The wall clock jumps, back and forth."""
        skew = self.clock.skew + timedelta(seconds=JUMPS[which % len(JUMPS)])
        if abs(skew) <= MAX_SKEW:
            self.clock.skew = skew

    def wait(self, seconds: float) -> None:
        self.clock.seconds += seconds
        now = self.clock.seconds
        for one in self.processes:
            if one.is_alive and not one.is_paused and one.paused_turn is None:
                one.ownership.polled_at = now
                if not one.membership.is_cut_off:
                    one.membership.heard_at = now
        longest = LATEST_SECONDS if self.setup.level == "A" else LATE_SECONDS
        for sent in [one for one in self.in_flight if now - one.sent_at > longest]:
            self._give_up(sent)

    # How it is done

    def _is_readable(self, url: str) -> bool:
        job_id, index = image_of(url)
        return index in self.roads[job_id].ok

    def _batcher(self, partition: int, committed: dict[str, int]) -> Batcher:
        return Batcher(self.broker, self.clock, partition, committed, sweep=self.setup.sweeps)

    def _give_up(self, sent: InFlight) -> None:
        """It will arrive no more."""
        self.in_flight.remove(sent)
        sent.by.done(sent.active, a.Unclear("no answer came"))
