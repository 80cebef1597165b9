"""What became of each image of a job. The first outcome of an image is the one that counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from msgspec import UNSET
from pyroaring import BitMap

from imagelane.contracts.events import JobRecorded
from imagelane.contracts.image_sets import pack, pack_some, unpack
from imagelane.contracts.parts import AttemptsOfImages, JobOutcome


@dataclass(frozen=True, slots=True)
class JobOutcomes:
    """Disjoint sets of image indexes; never changed in place.

    `resent` has the undecided images that came back failed from calls, by how many calls.
    """

    delivered: BitMap = field(default_factory=BitMap)
    failed: BitMap = field(default_factory=BitMap)
    cancelled: BitMap = field(default_factory=BitMap)
    resent: Mapping[int, BitMap] = field(default_factory=dict)

    @property
    def decided(self) -> BitMap:
        """The images that have an outcome."""
        return self.delivered | self.failed | self.cancelled


def from_record(record: JobRecorded) -> JobOutcomes:
    """The outcomes in a record of the log. Raises `UnreadableImageSetError`."""
    resent = [] if record.resent is UNSET else record.resent
    return JobOutcomes(
        delivered=unpack(record.delivered),
        failed=unpack(record.failed),
        cancelled=unpack(record.cancelled),
        resent={one.attempts: unpack(one.images) for one in resent},
    )


def to_record(customer_id: str, job_id: str, outcomes: JobOutcomes, now: datetime) -> JobRecorded:
    """The outcomes as they are written to the log."""
    resent = [
        AttemptsOfImages(attempts=attempts, images=pack(images))
        for attempts, images in sorted(outcomes.resent.items())
    ]
    return JobRecorded(
        customer_id=customer_id,
        job_id=job_id,
        occurred_at=now,
        delivered=pack_some(outcomes.delivered),
        failed=pack_some(outcomes.failed),
        cancelled=pack_some(outcomes.cancelled),
        resent=resent or UNSET,
    )


def as_told(job_id: str, outcomes: JobOutcomes) -> JobOutcome:
    """The whole outcome of a job so far, as a batcher is told."""
    return JobOutcome(
        job_id=job_id,
        delivered=pack_some(outcomes.delivered),
        failed=pack_some(outcomes.failed),
        cancelled=pack_some(outcomes.cancelled),
    )


def settled(
    outcomes: JobOutcomes, *, failed: BitMap, cancelled: BitMap, planned: BitMap
) -> JobOutcomes:
    """With what ended outside a call, as far as it has no outcome and is not in the plan."""
    taken = outcomes.decided | planned
    failed = failed - taken
    cancelled = cancelled - taken - failed
    if not failed and not cancelled:
        return outcomes
    return replace(
        outcomes,
        failed=outcomes.failed | failed,
        cancelled=outcomes.cancelled | cancelled,
        resent=_without(outcomes.resent, failed | cancelled),
    )


def after_call(
    outcomes: JobOutcomes, *, delivered: BitMap, failed: BitMap, item_attempts: int
) -> tuple[JobOutcomes, BitMap, BitMap]:
    """With a call's result; and which of its failed images have failed for good, and which return.

    An image returns for a later call until `item_attempts` calls have had it.
    """
    failed = failed - outcomes.decided
    lost, returned = BitMap(), BitMap()
    resent = _without(outcomes.resent, delivered | failed)
    for earlier, images in _by_attempts(outcomes.resent, failed):
        if earlier + 1 < item_attempts:
            returned |= images
            resent[earlier + 1] = resent.get(earlier + 1, BitMap()) | images
        else:
            lost |= images
    after = replace(
        outcomes,
        delivered=outcomes.delivered | (delivered - outcomes.decided),
        failed=outcomes.failed | lost,
        resent=resent,
    )
    return after, lost, returned


def _by_attempts(resent: Mapping[int, BitMap], images: BitMap) -> list[tuple[int, BitMap]]:
    parts = [(attempts, images & sent) for attempts, sent in resent.items()]
    fresh = images - BitMap().union(*resent.values())
    return [(attempts, part) for attempts, part in [(0, fresh), *parts] if part]


def _without(resent: Mapping[int, BitMap], images: BitMap) -> dict[int, BitMap]:
    left = {attempts: sent - images for attempts, sent in resent.items()}
    return {attempts: sent for attempts, sent in left.items() if sent}
