"""A small stand-in of the tracker's answers: jobs and images in memory, in the tracker's own shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from imagelane.tracking.cursors import CursorError
from imagelane.tracking.views import (
    CallStatus,
    Counts,
    DeadLetter,
    FailureCount,
    Freshness,
    ImageOutput,
    ImageResult,
    ImageStatus,
    ImageTrail,
    JobStatus,
    LaneStatus,
    Page,
    Step,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STEP = Step(
    kind="image.requested",
    at=NOW,
    service="intake",
    topic="requested",
    partition=3,
    offset=17,
)


@dataclass
class TrackedJobs:
    """Answers as `Queries` does. `pending` is of every customer."""

    all: dict[str, JobStatus] = field(default_factory=dict)
    results_of: dict[str, list[ImageResult]] = field(default_factory=dict)
    lanes_of: dict[str, LaneStatus] = field(default_factory=dict)
    pending: int = 0
    asked: list[str] = field(default_factory=list)

    def put(self, job_id: str, customer_id: str, **changed: Any) -> JobStatus:
        """A job as it is now; its `change` grows."""
        made: dict[str, Any] = {
            "job_id": job_id,
            "customer_id": customer_id,
            "status": "running",
            "recipe": "default",
            "destination": "default",
            "images": 2,
            "counts": Counts(requested=2, downloaded=1),
            "accepted_at": NOW,
            **changed,
        }
        job = JobStatus(**made, change=self._latest() + 1)
        self.all[job_id] = job
        return job

    def put_lane(self, customer_id: str, **changed: Any) -> LaneStatus:
        made: dict[str, Any] = {
            "customer_id": customer_id,
            "state": "idle",
            "last_seq": 7,
            "ready": 0,
            "open_jobs": 1,
            **changed,
        }
        self.lanes_of[customer_id] = LaneStatus(**made)
        return self.lanes_of[customer_id]

    def _latest(self) -> int:
        return max((job.change for job in self.all.values()), default=0)

    async def latest_change(self) -> int:
        self.asked.append("latest_change")
        return self._latest()

    async def pending_images(self, _customer_id: str) -> int:
        return self.pending

    async def job(self, job_id: str, *, customer_id: str | None = None) -> JobStatus | None:
        job = self.all.get(job_id)
        return job if job is not None and customer_id in (None, job.customer_id) else None

    async def jobs(
        self, *, customer_id: str | None, status: str | None, cursor: str | None, limit: int
    ) -> Page[JobStatus]:
        if cursor is not None and not cursor.isdecimal():
            raise CursorError(cursor)
        first = int(cursor or 0)
        found = [
            job
            for job in reversed(self.all.values())
            if customer_id in (None, job.customer_id) and status in (None, job.status)
        ]
        more = str(first + limit) if len(found) > first + limit else None
        return Page(items=found[first : first + limit], next_cursor=more)

    async def job_trail(self, job_id: str, *, customer_id: str | None) -> list[Step] | None:
        return [STEP] if await self.job(job_id, customer_id=customer_id) else None

    async def images(
        self, job_id: str, *, customer_id: str | None, cursor: str | None, **_wanted: Any
    ) -> Page[ImageStatus] | None:
        if cursor is not None:
            raise CursorError(cursor)
        if await self.job(job_id, customer_id=customer_id) is None:
            return None
        return Page(items=[image_status(job_id)])

    async def image(self, job_id: str, index: int, *, customer_id: str | None) -> ImageTrail | None:
        job = await self.job(job_id, customer_id=customer_id)
        if job is None or index != 0:
            return None
        image = image_status(job_id)
        return ImageTrail(image=image, customer_id=job.customer_id, trace_id="0" * 32, steps=[STEP])

    async def results(
        self, job_id: str, *, customer_id: str | None, chunk: int
    ) -> AsyncIterator[list[ImageResult]]:
        assert await self.job(job_id, customer_id=customer_id) is not None
        found = self.results_of.get(job_id, [])
        for at in range(0, len(found), chunk):
            yield found[at : at + chunk]

    async def lanes(self, *, customer_id: str | None, **_wanted: Any) -> Page[LaneStatus]:
        return Page(
            items=[lane for name, lane in self.lanes_of.items() if customer_id in (None, name)]
        )

    async def lane(self, customer_id: str) -> LaneStatus | None:
        return self.lanes_of.get(customer_id)

    async def calls(self, customer_id: str, **_wanted: Any) -> Page[CallStatus]:
        call = CallStatus(customer_id=customer_id, seq=7, status="completed", images=3, jobs=[])
        return Page(items=[call])

    async def failures(self, **_wanted: Any) -> list[FailureCount]:
        return [FailureCount(code="not_found", reason="gone", images=1)]

    async def dead_letters(self, **_wanted: Any) -> Page[DeadLetter]:
        letter = DeadLetter(
            topic="urls",
            partition=0,
            offset=5,
            service="intake",
            reason="no JSON",
            at=NOW,
            key=None,
            size_bytes=3,
        )
        return Page(items=[letter])

    async def progress(
        self, *, since: int, customer_id: str | None, job_id: str | None, limit: int
    ) -> list[JobStatus]:
        self.asked.append("progress")
        changed = [
            job
            for job in self.all.values()
            if job.change > since
            and customer_id in (None, job.customer_id)
            and job_id in (None, job.job_id)
        ]
        return sorted(changed, key=lambda job: job.change)[:limit]

    async def freshness(self) -> Freshness:
        return Freshness(behind=0, written_at=NOW)


def image_status(job_id: str) -> ImageStatus:
    output = ImageOutput(
        name="image",
        url="https://img.example/1.jpg",
        content_type="image/jpeg",
        width=10,
        height=10,
        size_bytes=100,
    )
    return ImageStatus(
        image_id=f"{job_id}:0",
        job_id=job_id,
        index=0,
        status="delivered",
        url="https://shop.example/1.jpg",
        outputs=[output],
    )


def result(index: int, **changed: Any) -> ImageResult:
    made = ImageResult(
        index=index,
        url=f"https://shop.example/{index}.jpg",
        status="delivered",
        results=[f"https://img.example/{index}.jpg"],
    )
    return msgspec.structs.replace(made, **changed)
