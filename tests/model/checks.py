"""The invariants after every action, by the API's journal and the log, and the balance at the end."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from msgspec import UNSET
from pyroaring import BitMap
from tests.model.broker import PARTITIONS
from tests.model.customers import IMAGES, JOBS, image_of
from tests.model.promises import must
from tests.model.world import World

from imagelane.contracts.codec import decode
from imagelane.contracts.events import CallCompleted, JobFinished, JobRecorded, LaneRecorded
from imagelane.contracts.image_sets import unpack
from imagelane.contracts.parts import JobOutcome

Sets = dict[str, BitMap]


@dataclass
class Checks:
    """Looks at what is new since the last look."""

    world: World
    _history: int = 0
    _told: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    _ended: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    _seqs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _bodies: dict[tuple[str, int], str] = field(default_factory=dict)
    _recorded: dict[str, Sets] = field(default_factory=lambda: defaultdict(dict))
    _said: dict[str, Sets] = field(default_factory=lambda: defaultdict(lambda: defaultdict(BitMap)))
    finished: dict[str, JobFinished] = field(default_factory=dict)

    def look(self) -> None:
        """Raises `PromiseBrokenError`. Accepting a call checks I1, I3 and I5 by itself."""
        is_new = len(self.world.broker.history) > self._history
        self._look_at_the_log()
        if is_new:
            self._look_at_the_outcomes()
        self._look_at_what_owners_know()
        for partition in range(PARTITIONS):
            self._look_at_what_was_told(partition)
            self._look_at_ends(partition)

    def _look_at_the_log(self) -> None:
        for record in self.world.broker.history[self._history :]:
            if isinstance(record, LaneRecorded):
                self._look_at_lane(record)
            else:
                self._look_at_job(record)
        self._history = len(self.world.broker.history)

    def _look_at_lane(self, lane: LaneRecorded) -> None:
        before = self._seqs[lane.customer_id]
        must(lane.last_seq in (before, before + 1), "I5: call numbers have no gap", lane)
        self._seqs[lane.customer_id] = lane.last_seq
        if lane.plan is not UNSET:
            key = lane.customer_id, lane.plan.seq
            body = self._bodies.setdefault(key, lane.plan.body_sha256)
            must(body == lane.plan.body_sha256, "a plan is frozen", lane)

    def _look_at_job(self, job: JobRecorded) -> None:
        now = _sets(job)
        for name, before in self._recorded[job.job_id].items():
            must(before <= now[name], "I4: an outcome is never taken back", job)
        self._recorded[job.job_id] = now

    def _look_at_the_outcomes(self) -> None:
        taken, maybe = self._journal()
        for job_id, sets in self._recorded.items():
            must(
                sets["delivered"] <= taken[job_id],
                "I2: what is delivered is in a completed call",
                f"{job_id[0]} {sets['delivered'] - taken[job_id]}",
            )
            excused = self._blamed(job_id) | self.world.roads[job_id].failed
            must(sets["failed"] <= excused, "I2: nothing fails without a reason", job_id[0])
            lost = (sets["failed"] | sets["cancelled"]) & maybe[job_id]
            must(not lost, "I2: what has failed is in no call", f"{job_id[0]} {lost}")

    def _blamed(self, job_id: str) -> BitMap:
        images = map(image_of, self.world.api.blamed)
        return BitMap(index for job, index in images if job == job_id)

    def _journal(self) -> tuple[dict[str, BitMap], dict[str, BitMap]]:
        taken: defaultdict[str, BitMap] = defaultdict(BitMap)
        maybe: defaultdict[str, BitMap] = defaultdict(BitMap)
        for batch in self.world.api.journal:
            for url in batch.taken:
                job_id, index = image_of(url)
                maybe[job_id].add(index)
                if not batch.is_active:
                    taken[job_id].add(index)
        return taken, maybe

    def _look_at_what_owners_know(self) -> None:
        broker = self.world.broker
        for one in self.world.processes:
            if not one.is_settled or one.membership.member not in broker.group.epochs:
                continue
            for partition, book in one.books.items():
                if broker.group.owners[partition] == one.membership.member:
                    kept = broker.known_book(partition)
                    same = book.lanes == kept.lanes and book.jobs == kept.jobs
                    must(same, "an owner knows what its log says", f"{one.name} {partition}")

    def _look_at_what_was_told(self, partition: int) -> None:
        log = self.world.broker.logs["completed", partition]
        for record in log[self._told[partition] :]:
            if record.value == b"{":
                continue
            event = decode("completed", record.value)
            jobs = event.jobs if isinstance(event, CallCompleted) else [event.job]
            for job in jobs:
                if job is not UNSET:
                    self._hear(job)
        self._told[partition] = len(log)

    def _hear(self, job: JobOutcome) -> None:
        said = self._said[job.job_id]
        for name, images in _sets(job).items():
            said[name] |= images
        clash = (
            said["delivered"] & said["failed"]
            | said["delivered"] & said["cancelled"]
            | said["failed"] & said["cancelled"]
        )
        must(not clash, "I4: an image is told to have one outcome", f"{job.job_id[0]} {clash}")

    def _look_at_ends(self, partition: int) -> None:
        log = self.world.broker.logs["finished", partition]
        for record in log[self._ended[partition] :]:
            event: JobFinished = decode("finished", record.value)
            first = self.finished.setdefault(event.job_id, event)
            must(_counts(first) == _counts(event), "I4: a job ends in one way", event)
            must(sum(_counts(event)) == event.images, "I4: a job's counts add up", event)
        self._ended[partition] = len(log)

    # The end

    def balance(self, customers: set[str]) -> None:
        """Everything has come to rest: I2, I4 and I9 for these customers."""
        taken, maybe = self._journal()
        for customer, job_id in JOBS:
            if customer in customers:
                must(taken[job_id] == maybe[job_id], "I9: every call ends", job_id[0])
                self._balance_of(job_id, taken[job_id])

    def _balance_of(self, job_id: str, taken: BitMap) -> None:
        road, sets = self.world.roads[job_id], self._recorded[job_id]
        none = BitMap()
        delivered, failed = sets.get("delivered", none), sets.get("failed", none)
        cancelled = sets.get("cancelled", none)
        must(delivered == taken, "I2: delivered is what the journal says", job_id[0])
        whole = delivered | failed | cancelled
        must(whole == BitMap(range(IMAGES)), "I2: every image has its outcome", job_id[0])
        must(len(delivered) + len(failed) + len(cancelled) == IMAGES, "I2: one outcome", job_id[0])
        must(not cancelled or road.is_cancelled, "nothing is cancelled by itself", job_id[0])
        must(job_id in self.finished, "I9: every sealed job finishes", job_id[0])
        counts = len(delivered), len(failed), len(cancelled)
        must(counts == _counts(self.finished[job_id]), "I4: the end says what was", job_id[0])


def _counts(event: JobFinished) -> tuple[int, int, int]:
    return event.delivered, event.failed, event.cancelled


def _sets(job: JobRecorded | JobOutcome) -> Sets:
    return {
        "delivered": unpack(job.delivered),
        "failed": unpack(job.failed),
        "cancelled": unpack(job.cancelled),
    }
