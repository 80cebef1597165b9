"""The world in which the lanes run: customers, Kafka, batchers, dispatchers, the external API, and faults.

Every action takes small numbers and can be done at any time: where it does not apply, nothing
happens. So a story is a list of names and numbers, which hypothesis, dice and a person can write.
"""

from __future__ import annotations

from tests.model.batching import Batching
from tests.model.broker import PARTITIONS
from tests.model.calling import Calling
from tests.model.handing_in import HandingIn
from tests.model.scene import Setup
from tests.model.working import Working


class World(HandingIn, Batching, Working, Calling):
    """Begins with two dispatchers that have a partition each. `do` is the way in."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        for which in range(PARTITIONS):
            self.start(which)
            self.assign(which, which)
        self.serve()

    def do(self, name: str, *numbers: int) -> None:
        """One action, by its name."""
        getattr(self, name)(*numbers)

    def end(self) -> None:
        """No thread is left behind."""
        for one in self.processes:
            one.kill()
