"""Any interleaving, repetition, crash and late writer ends with every image decided once.

A model of Kafka (inputs, a table, topics that keep what they took) and a model dispatcher (one call
at a time, the first outcome of an image counts) around the real lanes. Writes and events that were
not confirmed may be lost in any combination; a process that lost the partition may write on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import UNSET
from pyroaring import BitMap
from tests.unit.batcher.conftest import RULES, job_id

from imagelane.batcher.core.decisions import Decisions, Write
from imagelane.batcher.core.lanes import LaneEvent, Lanes
from imagelane.batcher.core.moment import Moment
from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.contracts import parts as p
from imagelane.contracts.image_sets import pack_some, unpack

pytestmark = pytest.mark.slow

IMAGES = 7
JOBS = ("a", "b")
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HANDED_IN = {"a": START - timedelta(seconds=2), "b": START - timedelta(seconds=1)}
TOPICS = ("processed", "jobs", "completed", "commands", "ticks")
SOME = st.sets(st.integers(0, IMAGES - 1))
SMALL = RULES.__class__(
    ask_at=RULES.ask_at,
    first_call_images=4,
    linger_seconds=5.0,
    resend_after_seconds=10.0,
    stalled_after_seconds=20.0,
    sweep=False,
    retention=timedelta(days=14),
    max_parts=3,
)


@dataclass
class ModelDispatcher:
    """The authority: what it decides, it has decided."""

    at: datetime
    last_seq: int = 0
    running: dict[str, BitMap] | None = None
    outcomes: dict[str, dict[str, BitMap]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(BitMap))
    )
    last_answer: e.CallCompleted | None = None
    planned: dict[int, frozenset[tuple[str, int]]] = field(default_factory=dict)

    def decided(self, job: str) -> BitMap:
        return BitMap.union(BitMap(), *self.outcomes[job].values())

    def take(self, event: e.Event) -> list[LaneEvent]:
        if isinstance(event, e.ImagesSettled):
            return self._settle(event)
        assert isinstance(event, e.BatchRequested)
        images = {job.job_id: unpack(job.images) for job in event.jobs}
        open_images = {job: some - self.decided(job) for job, some in images.items()}
        if (
            self.running is not None
            or event.seq != self.last_seq + 1
            or not any(open_images.values())
        ):
            again = (
                [self.last_answer] if self.last_answer and self.last_answer.seq == event.seq else []
            )
            return [*map(self._truth, images), *again, self._told(answers=event.seq)]
        self.last_seq = event.seq
        self.running = {job: some for job, some in open_images.items() if some}
        self.planned[event.seq] = frozenset(
            (job, index) for job, some in images.items() for index in some
        )
        return []

    def end_call(self, failed: BitMap, returned: BitMap) -> list[LaneEvent]:
        assert self.running is not None
        jobs = []
        for job, some in self.running.items():
            back, bad = some & returned, (some & failed) - returned
            self.outcomes[job]["delivered"] |= some - back - bad
            self.outcomes[job]["failed"] |= bad
            jobs.append(
                p.JobOutcome(
                    job_id=job,
                    delivered=pack_some(some - back - bad),
                    failed=pack_some(bad),
                    returned=pack_some(back),
                )
            )
        self.running = None
        self.last_answer = e.CallCompleted(
            customer_id="acme",
            seq=self.last_seq,
            last_seq=self.last_seq,
            status="completed",
            images=0,
            jobs=jobs,
            occurred_at=self.at,
        )
        return [self.last_answer]

    def _settle(self, event: e.ImagesSettled) -> list[LaneEvent]:
        planned = self.running or {}
        for job in event.jobs:
            for name, some in (("failed", job.failed), ("cancelled", job.cancelled)):
                new = unpack(some) - self.decided(job.job_id) - planned.get(job.job_id, BitMap())
                self.outcomes[job.job_id][name] |= new
        return [self._truth(job.job_id) for job in event.jobs]

    def _truth(self, job: str) -> e.LaneTold:
        sets = {name: pack_some(some) for name, some in self.outcomes[job].items()}
        return self._told(job=p.JobOutcome(job_id=job, **sets))

    def _told(self, **fields: object) -> e.LaneTold:
        return e.LaneTold(
            customer_id="acme",
            last_seq=self.last_seq,
            busy=self.running is not None,
            occurred_at=self.at,
            **fields,  # type: ignore[arg-type] # `job` or `answers`
        )


@dataclass
class Flight:
    """Decisions on their way, and the places in the inputs that they take care of."""

    lanes: Lanes
    decisions: Decisions
    places: dict[str, int]
    written: bool = False


class LanesModel(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def begin(self) -> None:
        self.seconds = 0.0
        self.inputs: dict[str, list[LaneEvent]] = {topic: [] for topic in TOPICS}
        self.places = dict.fromkeys(TOPICS, 0)
        self.committed = dict.fromkeys(TOPICS, 0)
        self.table: dict[bytes, bytes] = {}
        self.flights: list[Flight] = []
        self.zombie: Lanes | None = None
        self.had_zombie = False
        self.batches: list[e.Event] = []
        self.read_batches = 0
        self.finished: list[e.JobFinished] = []
        self.openings = 0
        self.dispatcher = ModelDispatcher(START)
        self.asked_seq = 0
        self.sealed: set[str] = set()
        self.heard: dict[str, set[int]] = {job: set() for job in JOBS}
        self.open()

    @property
    def now(self) -> Moment:
        return Moment(self.seconds, START + timedelta(seconds=self.seconds))

    def open(self) -> None:
        self.openings += 1
        self.lanes = Lanes(SMALL, writer=f"w{self.openings}")
        self.lanes.restore(self.table.items(), self.now)
        self.flights = []

    def write(self, writes: Iterable[Write]) -> None:
        for one in writes:
            if one.value is None:
                self.table.pop(one.key, None)
            else:
                self.table[one.key] = one.value

    def send(self, events: Iterable[e.Event]) -> None:
        for event in events:
            if isinstance(event, e.JobFinished):
                self.finished.append(event)
            else:
                self.batches.append(event)

    # The road

    @rule(job=st.sampled_from(JOBS), indexes=SOME, failed=SOME)
    def images(self, job: str, indexes: set[int], failed: set[int]) -> None:
        self.heard[job] |= indexes
        self.inputs["processed"] += [
            e.ImageProcessed(
                customer_id="acme",
                job_id=job_id(job),
                index=index,
                url="https://images.test/a.jpg",
                recipe="default",
                destination="default",
                status="failed" if index in failed else "ok",
                occurred_at=self.now.at,
                seconds=0.1,
            )
            for index in indexes
        ]

    @rule(job=st.sampled_from(JOBS))
    def seal(self, job: str) -> None:
        self.sealed.add(job)
        self.inputs["jobs"].append(
            e.JobSealed(
                customer_id="acme",
                job_id=job_id(job),
                recipe="default",
                destination="default",
                images=IMAGES,
                occurred_at=self.now.at,
                handed_in_at=HANDED_IN[job],
            )
        )

    @rule(job=st.sampled_from(JOBS), seconds=st.sampled_from([1.0, 30.0, 10_000.0]))
    def accept(self, job: str, seconds: float) -> None:
        self.inputs["jobs"].append(
            e.JobAccepted(
                customer_id="acme",
                job_id=job_id(job),
                recipe="default",
                destination="default",
                occurred_at=self.now.at,
                handed_in_at=HANDED_IN[job],
                deadline=self.now.at + timedelta(seconds=seconds),
            )
        )

    @rule(job=st.sampled_from(JOBS), delete=st.booleans())
    def cancel(self, job: str, delete: bool) -> None:
        kind = c.DeleteJob if delete else c.CancelJob
        self.inputs["commands"].append(
            kind(customer_id="acme", job_id=job_id(job), decided_by="me", occurred_at=self.now.at)
        )

    @rule(job=st.sampled_from(JOBS), delete=st.booleans())
    def cancel_customer(self, job: str, delete: bool) -> None:
        """As it was when this job was handed in, whenever that is heard of."""
        kind = c.DeleteCustomer if delete else c.CancelCustomer
        self.inputs["commands"].append(
            kind(customer_id="acme", decided_by="me", occurred_at=HANDED_IN[job])
        )

    # The batcher

    @rule(topics=st.lists(st.sampled_from(TOPICS), max_size=4), many=st.integers(1, 9))
    def fold_and_decide(self, topics: list[str], many: int) -> None:
        for topic in topics:
            place = self.places[topic]
            for event in self.inputs[topic][place : place + many]:
                self.lanes.fold(event, self.now)
                self.places[topic] += 1
        decisions = self.lanes.decide(self.now)
        self.check_that_nothing_cut_short_is_asked_for(decisions)
        self.flights.append(Flight(self.lanes, decisions, dict(self.places)))

    @rule(steps=st.integers(1, 6))
    def make_durable(self, steps: int) -> None:
        """The oldest decisions get one step further, and again: their writes, then their events."""
        for _ in range(steps):
            if not self.flights:
                return
            flight = self.flights[0]
            if not flight.written:
                self.write(flight.decisions.writes)
                flight.written = True
                continue
            self.send(flight.decisions.events)
            flight.lanes.confirm(flight.decisions)
            self.committed = flight.places
            del self.flights[0]

    @rule(seconds=st.sampled_from([0.5, 6.0, 11.0, 25.0]))
    def tick(self, seconds: float) -> None:
        self.seconds += seconds
        self.inputs["ticks"] += self.lanes.ticks(self.now)

    @rule(luck=st.randoms(use_true_random=False), late=st.booleans())
    def crash(self, luck: Random, late: bool) -> None:  # hypothesis passes it
        """Any part of what was not confirmed is durable; offsets may be older than what was confirmed."""
        for flight in self.flights:
            share = luck.choice([0.0, 0.5, 1.0])
            if flight.written:
                self.send(one for one in flight.decisions.events if luck.random() < share)
            else:
                self.write(one for one in flight.decisions.writes if luck.random() < share)
        if late:
            self.zombie, self.had_zombie = self.lanes, True
        back = luck.choice([0, 0, 1, 3])
        self.committed = {topic: max(place - back, 0) for topic, place in self.committed.items()}
        self.places = dict(self.committed)
        self.open()

    @precondition(lambda self: self.zombie is not None)
    @rule(topic=st.sampled_from(TOPICS), many=st.integers(0, 5))
    def write_late(self, topic: str, many: int) -> None:
        """A process that lost the partition does not know it yet."""
        assert self.zombie is not None
        place = self.places[topic]
        for event in self.inputs[topic][place : place + many]:
            self.zombie.fold(event, self.now)
        decisions = self.zombie.decide(self.now)
        self.write(decisions.writes)
        self.send(decisions.events)
        self.zombie.confirm(decisions)

    # The dispatcher

    @rule(again=st.sampled_from([0, 0, 0, 1, 3]), many=st.integers(1, 5))
    def dispatch(self, again: int, many: int) -> None:
        """Takes the next records of `batches`, perhaps some old ones first."""
        self.read_batches = max(self.read_batches - again, 0)
        for event in self.batches[self.read_batches : self.read_batches + again + many]:
            self.read_batches += 1
            self.check_seq(event)
            self.dispatcher.at = self.now.at
            self.inputs["completed"] += self.dispatcher.take(event)

    @precondition(lambda self: self.dispatcher.running is not None)
    @rule(failed=SOME, returned=SOME)
    def end_call(self, failed: set[int], returned: set[int]) -> None:
        self.inputs["completed"] += self.dispatcher.end_call(BitMap(failed), BitMap(returned))

    @rule()
    def skip(self) -> None:
        """A record of `batches` is lost: skipped by hand, or a dead letter."""
        if self.read_batches < len(self.batches):
            self.read_batches += 1

    @rule()
    def tell_again(self) -> None:
        if self.dispatcher.last_answer is not None:
            self.inputs["completed"].append(self.dispatcher.last_answer)

    def check_seq(self, event: e.Event) -> None:
        """A seq that has a plan is never asked for with other images, unless two wrote at a time."""
        if not isinstance(event, e.BatchRequested) or self.had_zombie:
            return
        images = frozenset(
            (job.job_id, index) for job in event.jobs for index in unpack(job.images)
        )
        assert self.dispatcher.planned.get(event.seq, images) >= images

    # What has to hold

    def check_that_nothing_cut_short_is_asked_for(self, decisions: Decisions) -> None:
        """Only a request that was open before may still name images of such a job."""
        cut = {job.job_id for lane in self.lanes for job in lane.jobs.values() if job.is_cut}
        for event in decisions.events:
            if isinstance(event, e.BatchRequested) and event.seq > self.asked_seq:
                self.asked_seq = event.seq
                assert not cut & {job.job_id for job in event.jobs}

    @invariant()
    def jobs_are_finished_in_one_way_only(self) -> None:
        for job in JOBS:
            told = {one for one in self.finished if one.job_id == job_id(job)}
            counts = {(one.images, one.delivered, one.failed, one.cancelled) for one in told}
            assert len(counts) <= 1
            assert self.had_zombie or len(told) <= 1

    def teardown(self) -> None:
        """No more faults: everything comes to its end, with the sweep switched off."""
        for job in JOBS:
            if job not in self.sealed:
                self.seal(job)
            self.images(job, set(range(IMAGES)) - self.heard[job], set())
        self.zombie = None
        for _ in range(400):
            self.fold_and_decide(list(TOPICS), 1_000)
            self.make_durable(1_000)
            while self.read_batches < len(self.batches):
                self.dispatch(0, 1_000)
            if self.dispatcher.running is not None:
                self.end_call(set(), set())
            self.tick(6.0)
            if len({one.job_id for one in self.finished}) == len(JOBS):
                break
        for job in JOBS:
            self.check_job(job)

    def check_job(self, job: str) -> None:
        outcomes = self.dispatcher.outcomes[job_id(job)]
        assert self.dispatcher.decided(job_id(job)) == BitMap(range(IMAGES)), job
        assert sum(map(len, outcomes.values())) == IMAGES
        told = next(one for one in self.finished if one.job_id == job_id(job))
        assert told.images == IMAGES
        assert told.delivered == len(outcomes["delivered"])
        assert told.failed == len(outcomes["failed"])
        assert told.cancelled == len(outcomes["cancelled"])
        assert bool(told.cancelled) == (told.cut_short_by is not UNSET)


LanesModel.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLanesModel = LanesModel.TestCase


def walk(seed: int, steps: int) -> None:
    """The same model on a long way that luck chooses: deeper than hypothesis gets in this time."""
    luck = Random(seed)
    model = LanesModel()
    model.begin()

    def some() -> set[int]:
        return {index for index in range(IMAGES) if luck.random() < 0.3}

    def late(topic: str, many: int) -> None:
        if model.zombie is not None:
            model.write_late(topic, many)

    def end_call() -> None:
        if model.dispatcher.running is not None:
            model.end_call(some() & some(), some())

    actions: dict[Callable[[], None], int] = {
        lambda: model.images(luck.choice(JOBS), some(), some() & some()): 12,
        lambda: model.seal(luck.choice(JOBS)): 1,
        lambda: model.cancel(luck.choice(JOBS), delete=seed % 8 == 0): int(seed % 4 == 0),
        lambda: model.cancel_customer(luck.choice(JOBS), delete=False): int(seed % 6 == 1),
        lambda: model.accept(luck.choice(JOBS), luck.choice([30.0, 10_000.0])): int(seed % 4 == 1),
        lambda: model.fold_and_decide(luck.choices(TOPICS, k=3), luck.randint(1, 9)): 24,
        lambda: model.make_durable(luck.randint(1, 5)): 20,
        lambda: model.tick(luck.choice([0.5, 6.0, 25.0])): 4,
        lambda: model.crash(luck, late=seed % 3 == 0): 3,
        lambda: late(luck.choice(TOPICS), luck.randint(0, 5)): 3,
        lambda: model.dispatch(luck.choice([0, 0, 0, 0, 3]), luck.randint(1, 5)): 10,
        end_call: 8,
        model.skip: int(seed % 5 == 0),
        model.tell_again: 1,
    }
    for action in luck.choices(list(actions), weights=list(actions.values()), k=steps):
        action()
        model.jobs_are_finished_in_one_way_only()
    model.teardown()


@pytest.mark.parametrize("seeds", [range(at, at + 50) for at in range(0, 400, 50)])
def test_long_walks_end_with_every_image_decided_once(seeds: range) -> None:
    for seed in seeds:
        walk(seed, steps=150)
