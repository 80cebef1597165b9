"""The stories that hypothesis writes: one rule for each action, and shrinking for nothing."""

from __future__ import annotations

from typing import ClassVar, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from tests.model.checks import Checks
from tests.model.customers import CUSTOMERS, IMAGES, JOBS
from tests.model.healing import heal
from tests.model.scene import Setup
from tests.model.walks import RANGES, Step
from tests.model.world import World

STEPS: Final = 40
SENT: Final = 4
"""The fate of a step that leaves a request on its way."""
AT_THE_API: Final = ("step", "arrive", "reply", "end_call", "hint", "release", "dislike")
TROUBLE: Final = (
    "interrupt",
    "pause",
    "cut_off",
    "kill",
    "expire",
    "time_out",
    "mistrust",
    "rewind",
    "lose_batcher",
    "wake_batcher",
    "lose_table",
    "spoil",
    "repeat",
    "foreign_call",
)
REST: Final = tuple(name for name in RANGES if name not in (*AT_THE_API, *TROUBLE))


def _one_of(*names: str) -> st.SearchStrategy[Step]:
    return st.one_of(*map(_action, names))


def _action(name: str) -> st.SearchStrategy[Step]:
    numbers = (st.integers(0, many - 1) for many in RANGES[name][1])
    return st.tuples(st.just(name), st.tuples(*numbers))


class LaneMachine(RuleBasedStateMachine):
    """Few rules with many actions each: hypothesis leaves whole rules out, and a call needs most actions.

    What has to hold is looked at after each action.
    """

    setup: ClassVar[Setup]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.setup)
        self.checks = Checks(self.world)
        self.is_whole = True

    @initialize(images=st.integers(1, IMAGES))
    def hand_in(self, images: int) -> None:
        """Nothing happens without lists."""
        for job in range(len(JOBS)):
            self.act("images", (job, 0, images - 1, 1))

    @rule(customer=st.integers(0, 3), times=st.integers(1, 4))
    def get_on(self, customer: int, times: int) -> None:
        """Without trouble a call gets one step further each time."""
        for _ in range(times):
            self.act("gather", ())
            self.act("step", (customer, 0))
            self.act("serve", ())

    @rule(customer=st.integers(0, 3))
    def send(self, customer: int) -> None:
        """As far as the bytes of a request, which are on their way then."""
        self.get_on(customer, 1)
        self.act("step", (customer, SENT))

    @rule(action=_one_of(*AT_THE_API))
    def happen_at_the_api(self, action: Step) -> None:
        self.act(*action)

    @rule(action=_one_of(*AT_THE_API), again=_one_of("serve", "wait_for_next", "supervise"))
    def happen_and_go_on(self, action: Step, again: Step) -> None:
        self.act(*action)
        self.act(*again)

    @rule(action=_one_of(*TROUBLE))
    def make_trouble(self, action: Step) -> None:
        self.act(*action)

    @rule(action=_one_of(*REST))
    def do_anything_else(self, action: Step) -> None:
        self.act(*action)

    def act(self, name: str, numbers: tuple[int, ...]) -> None:
        self.is_whole = False  # until it has come to its end
        self.world.do(name, *numbers)
        self.checks.look()
        self.is_whole = True

    def teardown(self) -> None:
        try:
            if self.is_whole:
                heal(self.world, self.checks, stuck=CUSTOMERS[0])
        finally:
            self.world.end()


def run(setup: Setup, examples: int, *, at_random: bool) -> None:
    """Raises what the first broken promise raises, with the shortest story that hypothesis finds."""
    machine = type(f"Level{setup.level}", (LaneMachine,), {"setup": setup})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not at_random,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
