"""A job as the batcher knows it: sets of image indexes, each index in at most one of them.

All folds are unions: whatever arrives twice, late or in another order gives the same job.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pyroaring import BitMap

from imagelane.batcher.core.job_life import RANK, TRANSITIONS, CutReason, Move, State
from imagelane.batcher.core.states import after
from imagelane.contracts.image_sets import unpack
from imagelane.contracts.parts import JobOutcome

BEYOND_ALL_INDEXES = 2**32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the dispatcher says about images of one job. It is the authority."""

    job_id: str
    delivered: BitMap
    failed: BitMap
    cancelled: BitMap
    returned: BitMap

    @classmethod
    def of(cls, outcome: JobOutcome) -> Outcome:
        """Reads an event's sets. Raises `UnreadableImageSetError`."""
        return cls(
            outcome.job_id,
            unpack(outcome.delivered),
            unpack(outcome.failed),
            unpack(outcome.cancelled),
            unpack(outcome.returned),
        )


@dataclass(slots=True)
class Fresh:
    """What was heard of a job and is not in the table yet."""

    facts: bool = False
    ready: BitMap = field(default_factory=BitMap)
    broken: BitMap = field(default_factory=BitMap)
    delivered: BitMap = field(default_factory=BitMap)
    failed: BitMap = field(default_factory=BitMap)
    cancelled: BitMap = field(default_factory=BitMap)

    def __bool__(self) -> bool:
        return bool(
            self.facts
            or self.ready
            or self.broken
            or self.delivered
            or self.failed
            or self.cancelled
        )


@dataclass(slots=True)
class Job:
    """One unfinished job. `known` is the union of the seven sets below it."""

    job_id: str
    seen_at: datetime
    recipe: str | None = None
    destination: str | None = None
    images: int | None = None
    """How many there are, once the list is sealed."""
    handed_in_at: datetime | None = None
    deadline: datetime | None = None
    cut_short_by: CutReason | None = None
    state: State = "unheard"
    rounds: int = 0
    """How often the sweep has named images of this job as missing."""

    known: BitMap = field(default_factory=BitMap)
    ready: BitMap = field(default_factory=BitMap)
    """Processed, undecided, not in the open request."""
    held: BitMap = field(default_factory=BitMap)
    """In the lane's open request."""
    broken: BitMap = field(default_factory=BitMap)
    """Failed on the road; the dispatcher has not confirmed it."""
    void: BitMap = field(default_factory=BitMap)
    """Cut short; the dispatcher has not confirmed that they are cancelled."""
    delivered: BitMap = field(default_factory=BitMap)
    failed: BitMap = field(default_factory=BitMap)
    cancelled: BitMap = field(default_factory=BitMap)

    in_doubt: bool = False
    """Nothing of the job is asked for until the dispatcher has told its whole outcome."""
    is_told: bool = False
    """The dispatcher has told the whole outcome, and nothing has moved since."""
    moved_seconds: float = 0.0
    stalls: int = 0
    fresh: Fresh = field(default_factory=Fresh)
    keys: list[bytes] = field(default_factory=list)
    """Where the table keeps this job's parts."""

    @property
    def decided(self) -> BitMap:
        """Images whose outcome the dispatcher has confirmed."""
        return self.delivered | self.failed | self.cancelled

    @property
    def sendable(self) -> int:
        """How many images could be in a call now."""
        return 0 if self.in_doubt or self.recipe is None else len(self.ready)

    @property
    def is_fully_seen(self) -> bool:
        """Nothing more will come by the road."""
        return self.images is not None and len(self.known) == self.images

    @property
    def is_complete(self) -> bool:
        """Every image of the sealed list has its outcome."""
        done = len(self.delivered) + len(self.failed) + len(self.cancelled)
        return self.images is not None and done == self.images

    @property
    def is_cut(self) -> bool:
        """Whatever of it is in no call yet will be in none."""
        return self.cut_short_by is not None

    @property
    def is_shell(self) -> bool:
        """Nobody has ever told what the job is: a command for a job that does not exist, perhaps."""
        return self.recipe is None

    def hear(self, index: int, *, ok: bool) -> bool:
        """One image has come to the end of the road; the first that is heard of it counts.

        Whether it was news.
        """
        if index in self.known or (self.images is not None and index >= self.images):
            return False
        self.known.add(index)
        (self.fresh.ready if ok else self.fresh.broken).add(index)
        if self.is_cut:
            self.void.add(index)
        else:
            (self.ready if ok else self.broken).add(index)
        return True

    def learn(self, recipe: str, destination: str, images: int | None = None) -> bool:
        """What the job is, by whichever event tells it first. Whether it was news."""
        news = False
        if self.recipe is None:
            self.move(Move.LEARN)
            self.recipe, self.destination, news = recipe, destination, True
        if self.images is None and images is not None:
            self.move(Move.SEAL)
            self.images, news = images, True
            self._drop_beyond(images)
            if self.is_cut:
                self._void_unheard()
        self.fresh.facts |= news
        return news

    def date(self, handed_in_at: datetime | None, deadline: datetime | None) -> None:
        """When the job was handed in and when it is over at the latest, as far as this is told."""
        if self.handed_in_at is None and handed_in_at is not None:
            self.handed_in_at, self.fresh.facts = handed_in_at, True
        if self.deadline is None and deadline is not None:
            self.deadline, self.fresh.facts = deadline, True

    def cut(self, reason: CutReason) -> bool:
        """Whatever is neither decided nor in the open request will be in no call. Whether it was news."""
        if self.cut_short_by is not None and RANK[self.cut_short_by] >= RANK[reason]:
            return False
        self.move(Move.CUT)
        self.cut_short_by, self.fresh.facts = reason, True
        self.void |= self.ready
        self.ready.clear()
        self._void_unheard()
        return True

    def move(self, move: Move) -> None:
        """Takes the job on in its life. Raises `IllegalMoveError`."""
        self.state = after(TRANSITIONS, self.state, move)

    def decide(self, outcome: Outcome) -> bool:
        """Folds what the dispatcher says. Whether it was news.

        Returned images that were never heard of (the table was lost) are ready: they were in a plan.
        """
        decided = self.decided
        news = BitMap()
        for told, outcomes, fresh in (
            (outcome.delivered, self.delivered, self.fresh.delivered),
            (outcome.failed, self.failed, self.fresh.failed),
            (outcome.cancelled, self.cancelled, self.fresh.cancelled),
        ):
            new = self._within(told) - decided - news
            outcomes.update(new)
            fresh.update(new)
            news.update(new)
        for undecided in (self.ready, self.held, self.broken, self.void):
            undecided.difference_update(news)
        unheard = self._within(outcome.returned) - self.known - news
        self._waiting |= unheard
        self.fresh.ready |= unheard
        self.known |= news | unheard
        return bool(news or unheard)

    def take(self, at_most: int) -> BitMap:
        """Moves ready images, lowest index first, into the open request."""
        taken = self.ready[:at_most]
        self.ready -= taken
        self.held |= taken
        return taken

    def release(self) -> None:
        """The open request is answered: what it held and has no outcome may be in the next one."""
        self._waiting |= self.held
        self.held.clear()

    def unheard(self) -> BitMap:
        """Images of the sealed list of which nothing is known."""
        return BitMap(range(self.images or 0)) - self.known

    @property
    def _waiting(self) -> BitMap:
        return self.void if self.is_cut else self.ready

    @_waiting.setter
    def _waiting(self, indexes: BitMap) -> None:
        if self.is_cut:
            self.void = indexes
        else:
            self.ready = indexes

    def _within(self, indexes: BitMap) -> BitMap:
        return indexes if self.images is None else indexes & BitMap(range(self.images))

    def _void_unheard(self) -> None:
        unheard = self.unheard()
        self.void |= unheard
        self.known |= unheard

    def _drop_beyond(self, images: int) -> None:
        for indexes in (
            self.known,
            self.ready,
            self.held,
            self.broken,
            self.void,
            self.delivered,
            self.failed,
            self.cancelled,
        ):
            indexes.remove_range(images, BEYOND_ALL_INDEXES)
