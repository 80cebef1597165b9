"""The end of all faults: everything comes to rest, and the balance is drawn up."""

from __future__ import annotations

from tests.model.checks import Checks
from tests.model.customers import CUSTOMERS, JOBS
from tests.model.promises import broken
from tests.model.scene import MAX_SKEW
from tests.model.world import World

from imagelane.dispatcher.core import answers as a

ROUNDS = 1_000


def heal(world: World, checks: Checks, stuck: str = "") -> None:
    """Raises `PromiseBrokenError`. The calls of `stuck` end only when all other customers are done (I6)."""
    _mend(world)
    others = set(CUSTOMERS) - {stuck} - held_for_good(world)
    for customers in (others, set(CUSTOMERS)):
        stuck = "" if customers == set(CUSTOMERS) else stuck
        _come_to_rest(world, checks, customers, stuck)
        checks.balance(customers - held_for_good(world))


def held_for_good(world: World) -> set[str]:
    """Customers whose lane waits for a person, who does not know what to say."""
    return {
        customer
        for customer, lane in world.held.items()
        if lane.ambiguous and not world.setup.policy.can_search and not world.truths(customer)
    }


def _mend(world: World) -> None:
    world.api.bad = frozenset()
    world.zombies.clear()
    world.clock.skew = MAX_SKEW  # a decision of a person must be later than what it is about
    for one in world.processes:
        one.membership.is_cut_off = False
        one.ownership.hold_reason = ""
        one.proceed()
    while world.broker.open_transactions:
        world.broker.abort(world.broker.open_transactions[0])
    while any(one.answer is None for one in world.in_flight):
        world.arrive(0, 0)
    while any(one.by.is_alive for one in world.in_flight):
        world.reply(0, 0)
    world.in_flight.clear()
    world.start(0)
    for job, (_, job_id) in enumerate(JOBS):
        for index in world.roads[job_id].unheard:
            world.images(job, index, 0, 1)
        if not world.roads[job_id].is_sealed:
            world.seal(job)


def _come_to_rest(world: World, checks: Checks, customers: set[str], stuck: str) -> None:
    wanted = {job_id for customer, job_id in JOBS if customer in customers}
    for _ in range(ROUNDS):
        before = _size(world)
        _work(world, stuck)
        checks.look()
        held = held_for_good(world)
        left = {job for customer, job in JOBS if job in wanted and customer not in held}
        if left <= checks.finished.keys() and not _active(world, customers):
            return
        if _size(world) == before:
            world.wait_for_next()
            world.wait(1.0)
    broken("I9: every sealed job finishes", f"not so {wanted - checks.finished.keys()}")


def _active(world: World, customers: set[str]) -> bool:
    return any(world.api.active(customer) for customer in customers)


def _work(world: World, stuck: str) -> None:
    world.supervise()
    world.serve()
    for number, customer in enumerate(CUSTOMERS):
        if customer in world.held and world.setup.level == "D":
            world.release(number, 0)
    for _ in range(len(CUSTOMERS)):
        world.step(0, 0)
    for batch in world.api.journal:
        if batch.is_active and batch.customer != stuck:
            world.api.end(batch, a.CallStatus.COMPLETED, frozenset())
    world.gather()
    world.sweep()


def _size(world: World) -> tuple[int, ...]:
    broker = world.broker
    return (
        sum(map(len, broker.logs.values())),
        len(broker.history),
        len(world.api.journal),
        sum(len(one.happenings) + len(one.to_restore) + len(one.read) for one in world.processes),
        sum(len(one.errands) for one in world.processes),
        sum(len(one.ownership.terms) for one in world.processes),
    )
