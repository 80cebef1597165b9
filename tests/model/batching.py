"""What happens to batchers."""

from __future__ import annotations

from random import Random

from tests.model.batcher import INPUTS
from tests.model.broker import PARTITIONS
from tests.model.scene import Scene


class Batching(Scene):
    """One batcher per partition, and up to two that do not know that they have lost theirs."""

    def fold(self, partition: int, topic: int, many: int, skipped: int) -> None:
        name = INPUTS[topic % len(INPUTS)]
        self.batchers[partition % PARTITIONS].fold(name, many, skipped)

    def gather(self) -> None:
        """Every batcher gets on, without trouble."""
        for one in self.batchers.values():
            one.tick()
            for topic in INPUTS:
                one.fold(topic, 100)
            one.decide()
            one.make_durable(100)

    def decide(self, partition: int) -> None:
        self.batchers[partition % PARTITIONS].decide()

    def make_durable(self, partition: int, steps: int) -> None:
        self.batchers[partition % PARTITIONS].make_durable(steps)

    def tick(self, partition: int) -> None:
        self.batchers[partition % PARTITIONS].tick()

    def lose_batcher(self, partition: int, back: int, lives_on: int, luck: int) -> None:
        """A batcher is killed, or loses its partition without noticing, and another one takes over."""
        at = partition % PARTITIONS
        old = self.batchers[at]
        if lives_on % 2:
            old.is_zombie = True
            self.zombies = [*self.zombies[-1:], old]
        else:
            old.die(Random(luck))
        committed = {place.topic: max(o - back, 0) for place, o in old.committed.items()}
        self.batchers[at] = self._batcher(at, committed)

    def wake_batcher(self, which: int, topic: int, many: int) -> None:
        """A batcher that lost its partition goes on, as if nothing had happened."""
        if self.zombies:
            zombie = self.zombies[which % len(self.zombies)]
            zombie.fold(INPUTS[topic % len(INPUTS)], many)
            zombie.decide()
            zombie.make_durable(2)

    def lose_table(self, partition: int) -> None:
        """The batcher's whole changelog is gone."""
        at = partition % PARTITIONS
        self.broker.tables[at].clear()
        self.zombies = [one for one in self.zombies if one.partition != at]
        self.batchers[at] = self._batcher(at, dict.fromkeys(INPUTS, 0))
