"""What happens to dispatchers and their group."""

from __future__ import annotations

from typing import Final

from tests.model.broker import PARTITIONS
from tests.model.dispatcher import SESSION_SECONDS, Dispatcher
from tests.model.kafka_clients import POINTS, Interruption
from tests.model.scene import Scene

MAX_PROCESSES: Final = 4
INTERRUPTIONS: Final[tuple[dict[str, bool], ...]] = (
    {"kills": True},
    {"kills": True, "produces_late": True},
    {},
    {"produces_late": True},
    {"stops_all": False},
    {"aborts": True},
)


class Working(Scene):
    """Up to four processes under three names; of those of one name only the newest can write."""

    def start(self, name: int) -> None:
        """A new process, perhaps under the name of one that is still alive."""
        self.processes = [one for one in self.processes if one.is_alive]
        if len(self.processes) < MAX_PROCESSES:
            made = Dispatcher(self.broker, self.clock, self.setup.policy, f"worker-{name % 3}")
            self.processes.append(made)

    def supervise(self) -> None:
        """Dead workers are noticed, at least one process runs, and every partition is given to somebody."""
        group = self.broker.group
        self.processes = [one for one in self.processes if one.is_alive]
        if not self.processes:
            self.start(0)
        alive = [one.membership.member for one in self.processes]
        for member in set(group.epochs) - set(alive):
            group.leave(member)
        for partition in range(PARTITIONS):
            if group.wanted[partition] not in group.epochs:
                self.assign(partition, partition)

    def turn(self, which: int, many: int, topic: int) -> None:
        if one := self._process(which):
            one.turn(Interruption(), many, topic)

    def interrupt(self, which: int, point: int, how: int) -> None:
        """A turn is cut short: by a kill or a pause at some point, or because Kafka aborts it."""
        if one := self._process(which):
            how_not = INTERRUPTIONS[how % len(INTERRUPTIONS)]
            one.turn(Interruption(POINTS[point % len(POINTS)], **how_not))

    def pause(self, which: int) -> None:
        if one := self._process(which):
            one.is_paused = True

    def cut_off(self, which: int) -> None:
        """The worker reaches the API, but not Kafka."""
        if one := self._process(which):
            one.membership.is_cut_off = True

    def proceed(self, which: int) -> None:
        """A paused worker wakes, one that was cut off is connected again."""
        if one := self._process(which):
            one.membership.is_cut_off = False
            one.proceed()

    def kill(self, which: int) -> None:
        if one := self._process(which):
            one.kill()

    def restore(self, which: int) -> None:
        one = self._process(which)
        if one and not one.is_stuck and not one.membership.is_cut_off:
            one.restore()

    def read_log(self, which: int) -> None:
        """A worker reads the log of what has come to it, and is slow to make use of it."""
        one = self._process(which)
        if one and not one.is_stuck and not one.membership.is_cut_off:
            one.read_log()

    def expire(self, which: int) -> None:
        """A worker that is not heard of loses its membership when its session is over."""
        one = self._process(which)
        if one is None or not (one.is_stuck or one.paused_turn or one.membership.is_cut_off):
            return
        left = one.membership.heard_at + SESSION_SECONDS - self.clock.seconds
        if left > 0:
            self.wait(left)
        self.broker.group.leave(one.membership.member)

    def assign(self, partition: int, which: int) -> None:
        """The group means to give a partition to a worker."""
        one = self._process(which)
        if one and one.membership.member in self.broker.group.epochs:
            self.broker.group.want(partition % PARTITIONS, one.membership.member)

    def time_out(self, which: int) -> None:
        """The broker aborts a transaction whose process does not go on."""
        open_ones = self.broker.open_transactions
        if open_ones:
            self.broker.abort(open_ones[which % len(open_ones)])

    def rewind(self, partition: int, topic: int, back: int) -> None:
        """Committed offsets were set back: what comes next was dealt with before."""
        place = ("batches", "callbacks")[topic % 2], partition % PARTITIONS
        at = self.broker.group.committed.get(place, 0)
        self.broker.group.committed[place] = max(at - back, 0)

    def mistrust(self, which: int, trusts: int) -> None:
        """The number of partitions is seen to change, or to be right again."""
        if one := self._process(which):
            one.ownership.hold_reason = "" if trusts % 3 else "the topic has other partitions"

    def tell(self, which: int, many: int) -> None:
        """Answers that the dispatcher sends outside its transaction reach `completed`."""
        if (one := self._process(which)) and not one.is_stuck:
            for event, at in one.told[:many]:
                self.broker.send(event, at)
            del one.told[:many]

    def serve(self) -> None:
        """Every worker that can gets on, without trouble from Kafka."""
        for which in range(len(self.processes)):
            self.turn(which, 20, 0)
            self.restore(which)
            self.turn(which, 20, 1)
            self.tell(which, 20)

    def _process(self, which: int) -> Dispatcher | None:
        return self.processes[which % len(self.processes)] if self.processes else None
