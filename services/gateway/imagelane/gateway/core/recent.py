"""What this gateway handed in lately: to know a reused key by its content, and a job before the tracker does."""

from __future__ import annotations

from collections import OrderedDict

from imagelane.gateway.core.submission import Submission


class Recent:
    """The last submissions, up to a number and an age. Another gateway, or this one started anew, knows none."""

    def __init__(self, *, max_jobs: int, max_seconds: float) -> None:
        self._max_jobs = max_jobs
        self._max_seconds = max_seconds
        self._kept: OrderedDict[str, tuple[float, str, Submission]] = OrderedDict()

    def remember(self, submission: Submission, now: float) -> None:
        """Kafka has it. Inline lists are not kept, only what they were."""
        fingerprint = submission.fingerprint
        self._kept[submission.job_id] = (now, fingerprint, submission.without_list())
        self._kept.move_to_end(submission.job_id)
        while len(self._kept) > self._max_jobs:
            self._kept.popitem(last=False)

    def is_other(self, submission: Submission, now: float) -> bool:
        """Whether the same key came lately with other content."""
        kept = self._fresh(submission.job_id, now)
        return kept is not None and kept[1] != submission.fingerprint

    def find(self, job_id: str, customer_id: str | None, now: float) -> Submission | None:
        """A job handed in lately, if it is the customer's; any for None."""
        kept = self._fresh(job_id, now)
        if kept is None or customer_id not in (None, kept[2].event.customer_id):
            return None
        return kept[2]

    def forget(self, job_id: str) -> None:
        """The job was refused: its key is free again."""
        self._kept.pop(job_id, None)

    def _fresh(self, job_id: str, now: float) -> tuple[float, str, Submission] | None:
        kept = self._kept.get(job_id)
        if kept is not None and now - kept[0] > self._max_seconds:
            del self._kept[job_id]
            return None
        return kept
