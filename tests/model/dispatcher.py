"""One incarnation of a dispatcher: the real `LaneOwner`, `Turn`, send gate and plans on the model's Kafka.

It can be paused at every durable step and woken later, when it is a zombie that does not know it yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from threading import Semaphore, Thread
from typing import Any, Final, cast

from tests.model.broker import PARTITIONS, Broker
from tests.model.clock import Clock
from tests.model.kafka_clients import Interruption, KilledError, ModelLog, ModelMembership

from imagelane.core.destinations import Destination
from imagelane.dispatcher.caller import _SendGate
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.plan import Terms
from imagelane.dispatcher.core.policy import Policy
from imagelane.dispatcher.errands import Errand, Happening, Restored, StepDone, Turned
from imagelane.dispatcher.failpoints import Failpoints
from imagelane.dispatcher.owner import LaneOwner
from imagelane.dispatcher.ownership import Ownership
from imagelane.dispatcher.turn import Rules
from imagelane.platform.settings import KafkaSettings

SESSION_SECONDS: Final = 20.0
BASE: Final = "https://images.example/r"
KAFKA: Final = KafkaSettings(bootstrap_servers="localhost:1", strict_partitions=PARTITIONS)
TERMS: Final = Terms(
    "model", {"default": Destination("default", "", BASE)}, "https://gateway.example/callbacks"
)


@dataclass(eq=False)
class ActiveErrand:
    """A step that the worker's caller is at. `sent`: its request is under way, and no answer has come."""

    errand: Errand
    began_at: float
    hinted: bool = False
    sent: bool = False

    @property
    def kind(self) -> str:
        return str(self.errand.pursuit.kind)

    @property
    def foreign(self) -> str:
        return self.errand.pursuit.foreign

    @property
    def due_at(self) -> float:
        return self.began_at + self.errand.pursuit.after_seconds


@dataclass(eq=False)
class PausedTurn:
    """A turn in a thread of its own, which stands still until it may proceed."""

    thread: Thread
    may_go: Semaphore
    stands: Semaphore
    result: Turned | None = None
    error: BaseException | None = None
    is_over: bool = False
    killed: bool = False


class Dispatcher:
    """One process. `errands` are by customer; `told` is on its way to `completed`, outside any transaction."""

    def __init__(self, broker: Broker, clock: Clock, policy: Policy, name: str) -> None:
        self.name, self._broker, self._clock = name, broker, clock
        self.ownership = Ownership(SESSION_SECONDS, polled_at=clock.seconds)
        self.membership = ModelMembership(broker, self.ownership, clock, name, self._drop)
        self.log = ModelLog(broker, name, self._reached)
        self.owner = LaneOwner(
            KAFKA,
            self.ownership,
            cast(Any, self.membership),
            cast(Any, self.log),
            Rules(TERMS, policy),
            Failpoints(),
        )
        self.happenings: deque[Happening] = deque()
        self.errands: dict[str, ActiveErrand] = {}
        self.to_restore: list[dict[int, int]] = []
        self.read: list[Restored] = []
        self.told: list[tuple[Any, int]] = []
        self.may_attempt = True
        self.is_alive = True
        self.is_paused = False
        self.paused_turn: PausedTurn | None = None
        self.owner.open()

    @property
    def is_stuck(self) -> bool:
        """Nothing can be done with it now."""
        return self.is_paused or not self.is_alive

    @property
    def is_settled(self) -> bool:
        """What it knows is what it will know: no turn of it stands in the middle."""
        return self.is_alive and self.paused_turn is None

    @property
    def books(self) -> dict[int, Book]:
        """What it knows of the partitions that are its own and restored."""
        return {
            at: holding.book
            for at, holding in self.owner._holdings.items()
            if holding.restored and self.ownership.terms.get(at) == holding.term
        }

    def turn(self, interruption: Interruption, many: int = 20, first_topic: int = 0) -> None:
        """One turn of the loop, as far as it comes."""
        if self.is_stuck or self.paused_turn is not None or self._would_hang():
            return
        self.membership.many, self.membership.first_topic = many, first_topic
        self.log.interruption = interruption
        happened = list(self.happenings)
        self.happenings.clear()
        if interruption.point and not interruption.kills:
            self._turn_apart(happened)
            return
        try:
            self._act(self.owner.turn(happened))
        except KilledError:
            self.kill()

    def proceed(self) -> None:
        """A paused process is woken, and goes on where it was."""
        self.is_paused = False
        paused, self.paused_turn = self.paused_turn, None
        if paused is None or not self.is_alive:
            return
        _go_on(paused)
        if paused.error is not None:
            raise paused.error
        if paused.result is not None:
            self._act(paused.result)
        else:
            self.kill()

    def kill(self) -> None:
        """SIGKILL. Its membership lasts until the session is over."""
        self.is_alive = False
        self.errands.clear()
        paused, self.paused_turn = self.paused_turn, None
        if paused is not None:
            paused.killed = True
            _go_on(paused)

    def read_log(self) -> None:
        """The log of what has come is read to its end, unless a transaction is open in it."""
        for terms in self.to_restore:
            if not any(self._broker.is_unstable(at) for at in terms):
                self.to_restore.remove(terms)
                self.read.append(Restored(terms, {at: self._broker.book(at) for at in terms}))
                return

    def restore(self) -> None:
        """What was read becomes known to the loop."""
        if not self.read:
            self.read_log()
        if self.read:
            self.happenings.append(self.read.pop(0))

    @property
    def due(self) -> list[ActiveErrand]:
        """The errands whose wait is over, and which wait for no answer."""
        now = self._clock.seconds
        return [
            one
            for one in self.errands.values()
            if not one.sent and (one.hinted or now >= one.due_at)
        ]

    def done(self, active: ActiveErrand, answer: Any) -> None:
        """The errand has come to its end, if it is still what the caller is at."""
        customer = active.errand.lane.customer_id
        if self.is_alive and self.errands.get(customer) is active:
            del self.errands[customer]
            self.happenings.append(StepDone(active.errand, answer))

    def gate(self, active: ActiveErrand) -> _SendGate:
        return _SendGate(active.errand, self.ownership, Failpoints())

    def _would_hang(self) -> bool:
        """Cut off from Kafka, a turn with something to write would not come back."""
        return self.membership.is_cut_off and bool(self.happenings)

    def _turn_apart(self, happened: Sequence[Happening]) -> None:
        apart = PausedTurn(Thread(), Semaphore(0), Semaphore(0))
        apart.thread = Thread(target=partial(self._run, apart, happened), daemon=True)
        self.paused_turn = apart
        apart.thread.start()
        apart.stands.acquire()
        if apart.is_over:
            self.proceed()
        else:
            self.is_paused = self.log.interruption.stops_all

    def _run(self, apart: PausedTurn, happened: Sequence[Happening]) -> None:
        try:
            apart.result = self.owner.turn(happened)
        except KilledError:
            apart.result = None
        except BaseException as error:  # noqa: BLE001 # raised again in the thread of the test
            apart.error = error
        finally:
            apart.is_over = True
            apart.stands.release()

    def _reached(self, point: str) -> None:
        if point != self.log.interruption.point:
            return
        if self.log.interruption.kills:
            raise KilledError
        apart = self.paused_turn
        if apart is None:
            return
        apart.stands.release()
        apart.may_go.acquire()
        if apart.killed:
            raise KilledError

    def _act(self, turned: Turned) -> None:
        self.happenings.extendleft(reversed(turned.again))
        self.may_attempt = not turned.on_hold
        for customer in turned.idle:
            self.errands.pop(customer, None)
        for errand in turned.errands:
            customer = errand.lane.customer_id
            before = self.errands.get(customer)
            late = before is not None and before.hinted and errand.pursuit.kind == "look"
            self.errands[customer] = ActiveErrand(errand, self._clock.seconds, hinted=late)
        for customer in turned.hinted:
            if customer in self.errands:
                self.errands[customer].hinted = True
        self.told += turned.told
        if turned.to_restore:
            self.to_restore.append(turned.to_restore)

    def _drop(self, partitions: frozenset[int]) -> None:
        for customer, active in list(self.errands.items()):
            if active.errand.partition in partitions:
                del self.errands[customer]


def _go_on(paused: PausedTurn) -> None:
    if not paused.is_over:
        paused.may_go.release()
        paused.stands.acquire()
    paused.thread.join()
