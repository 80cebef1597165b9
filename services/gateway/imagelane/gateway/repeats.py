"""Submissions that come again: the same is the same job, another one under the same key is refused."""

from __future__ import annotations

import asyncio

from msgspec import UNSET

from imagelane.gateway.core.recent import Recent
from imagelane.gateway.core.submission import Submission
from imagelane.gateway.problems import Kind, Problem
from imagelane.gateway.status import UNREADABLE, Status
from imagelane.tracking.views import JobStatus


class Repeats:
    """Tells a reused key as far as this gateway can know.

    It knows what it handed in itself within the last hour, and what the tracker tells of a job, which is
    not its list. Intake knows all, and refuses what slips through here, under an id of its own.
    """

    def __init__(self, recent: Recent, status: Status) -> None:
        self._recent = recent
        self._status = status
        self._time = asyncio.get_running_loop().time

    async def check(self, submission: Submission) -> None:
        """Raises `Problem` 422 for a key that belongs to other content."""
        job = await self._tracked(submission)
        if job is not None and job.status == "refused":
            self._recent.forget(submission.job_id)  # nothing came of it: its key is free again
            return
        other = self._recent.is_other(submission, self._time())
        if other or (job is not None and _differs(job, submission)):
            raise Problem(
                Kind.IDEMPOTENCY_KEY_REUSED,
                f"job {submission.job_id} has this key; take a new one for another list",
                field="Idempotency-Key",
                code="idempotency_conflict",
            )

    def remember(self, submission: Submission) -> None:
        """Kafka has it."""
        self._recent.remember(submission, self._time())

    async def _tracked(self, submission: Submission) -> JobStatus | None:
        try:
            queries = await self._status.queries()
            return await queries.job(submission.job_id, customer_id=submission.event.customer_id)
        except UNREADABLE:
            return None


def _differs(job: JobStatus, submission: Submission) -> bool:
    event = submission.event
    deadline = None if event.deadline is UNSET else event.deadline
    if (job.recipe, job.destination, job.deadline) != (event.recipe, event.destination, deadline):
        return True
    return event.urls is not UNSET and job.images not in (None, len(event.urls))
