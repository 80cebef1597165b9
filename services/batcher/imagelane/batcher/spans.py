"""What the batcher tells of in traces: how long images waited for their call, and the ends of jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType
from pyroaring import BitMap

from imagelane.contracts.codec import Headers, Trace
from imagelane.contracts.events import (
    BatchRequested,
    Event,
    ImageProcessed,
    ImagesSettled,
    JobFinished,
)
from imagelane.contracts.image_sets import unpack
from imagelane.contracts.parts import ImageSet
from imagelane.contracts.topics import FINISHED, PROCESSED
from imagelane.platform.tracing import (
    Attributes,
    Done,
    Span,
    Tracing,
    Value,
    Work,
    drop,
    parent_in,
    told,
)

MAX_WAITING: Final = 50_000
"""Sampled images that are remembered until their call is asked for: some 20 MB. Beyond, the oldest job's
are forgotten, and counted as dropped: their traces go on, without this span."""


def _of_job(event: JobFinished) -> Attributes:
    names = ("images", "delivered", "failed", "cancelled")
    return {f"imagelane.{name}": getattr(event, name) for name in names}


GATHER: Final = Work("gather image", "consumer", PROCESSED)
SETTLE: Final = Work("settle image", "consumer", PROCESSED)
FINISH: Final = Done(Work("finish job", "producer", FINISHED, describe=_of_job))


class Waiting(NamedTuple):
    """An image that is ready, or has failed, since `since` of the monotonic clock."""

    cause: Headers
    since: float
    code: str


@dataclass(slots=True)
class ImageWaits:
    """The sampled images that wait in this worker, by customer and job. A restart forgets them."""

    tracing: Tracing
    _jobs: dict[tuple[str, str], dict[int, Waiting]] = field(default_factory=dict)
    _count: int = 0

    def fold(self, event: Event, headers: Headers) -> None:
        """An image has come from the processor."""
        if not isinstance(event, ImageProcessed) or not self.tracing.samples(Trace.of(event)):
            return
        waits = self._jobs.setdefault((event.customer_id, event.job_id), {})
        self._count += event.index not in waits
        code = "" if event.failure is UNSET else event.failure.code
        waits[event.index] = Waiting(parent_in(headers), time.monotonic(), code)
        while self._count > MAX_WAITING:
            drop(self._forget(next(iter(self._jobs))))

    def send(self, event: Event) -> bytes | None:
        """An event is about to be sent: the waits that end with it are told. Its `traceparent`."""
        match event:
            case BatchRequested():
                return self._ask(event)
            case ImagesSettled():
                self._settle(event)
            case JobFinished():
                self._forget((event.customer_id, event.job_id))
                return told(self.tracing, event, FINISH)
        return None

    def clear(self) -> None:
        """The partitions are going."""
        self._jobs.clear()
        self._count = 0

    def _ask(self, event: BatchRequested) -> bytes | None:
        call = Trace.of(event)
        sampled = self.tracing.samples(call)
        for job in event.jobs:
            for trace, image, waited in self._taken(event.customer_id, job.job_id, job.images):
                sampled = True
                attributes = {**image, "imagelane.seq": event.seq}
                self._tell(Span(GATHER, trace, attributes, links=[call]), waited)
        return self.tracing.anchor(call) if sampled else None

    def _settle(self, event: ImagesSettled) -> None:
        for job in event.jobs:
            for outcome, images in (("failed", job.failed), ("cancelled", job.cancelled)):
                for trace, image, waited in self._taken(event.customer_id, job.job_id, images):
                    attributes = {**image, "imagelane.outcome": outcome}
                    self._tell(Span(SETTLE, trace, attributes, code=waited.code), waited)

    def _taken(
        self, customer_id: str, job_id: str, images: ImageSet | UnsetType
    ) -> Iterator[tuple[Trace, Attributes, Waiting]]:
        """Those of the images that are remembered, no longer so."""
        waits = self._jobs.get((customer_id, job_id))
        if not waits or images is UNSET:
            return
        for index in unpack(images) & BitMap(waits):
            self._count -= 1
            image: dict[str, Value] = {
                "imagelane.customer_id": customer_id,
                "imagelane.job_id": job_id,
                "imagelane.index": index,
            }
            yield Trace.of_image(customer_id, job_id, index), image, waits.pop(index)
        if not waits:
            del self._jobs[customer_id, job_id]

    def _tell(self, span: Span, waited: Waiting) -> None:
        seconds = time.monotonic() - waited.since
        self.tracing.record(replace(span, cause=waited.cause, seconds=seconds))

    def _forget(self, job: tuple[str, str]) -> int:
        forgotten = len(self._jobs.pop(job, ()))
        self._count -= forgotten
        return forgotten
