"""What the tracker tells of in traces: every batch that it writes, and from when on the end of a job is shown.

Images have no span here. One of their records costs the tracker 0.02 ms, and a sampled span twice that: so a
batch is one span, linked to its jobs and calls, and says how many images it has news of.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from imagelane.contracts.codec import Trace
from imagelane.platform.tracing import Attributes, Span, Tracing, Work
from imagelane.tracker.core.changes import Changes
from imagelane.tracking.steps import Kind

MAX_LINKS: Final = 128
"""The SDK keeps no more."""
NEWS_MS: Final = 3_600_000
"""A rebuild reads the ends of months once more, which nobody waits for."""
ENDS: Final = frozenset({Kind.JOB_FINISHED, Kind.JOB_REFUSED})

WRITE: Final = Work("write records", "client", place="anchor")
SHOW: Final = Work("show end of job", "internal")


class BatchSpans:
    """Tells batches once they are written. Belongs to the thread of the ledger."""

    def __init__(self, tracing: Tracing, *, database: str) -> None:
        """`database` is what OpenTelemetry calls it: `postgresql` or `sqlite`."""
        self._tracing = tracing
        self._database = database

    def written(
        self, changes: Changes, *, records: int, behind: int, seconds: float, now_ms: int
    ) -> None:
        """A batch of so many records is in the database, `behind` others are still to be read."""
        samples = self._tracing.samples
        jobs = {
            job.number: trace
            for job in changes.jobs.values()
            if samples(trace := Trace.of_job(job.customer_id, job.job_id))
        }
        calls = [call for key in changes.calls if samples(call := Trace.of_call(*key))]
        batch = Trace(secrets.token_hex(16))  # it is about nothing that has a trace of its own
        links = [*jobs.values(), *calls][:MAX_LINKS]
        if not links and not samples(batch):
            return
        attributes: Attributes = {
            "db.system.name": self._database,
            "messaging.system": "kafka",
            "messaging.batch.message_count": records,
            "imagelane.jobs": len(changes.jobs),
            "imagelane.calls": len(changes.calls),
            "imagelane.images": len(changes.images),
            "imagelane.behind": behind,
        }
        self._tracing.record(Span(WRITE, batch, attributes, seconds=seconds, links=links))
        for number, age_ms in _new_ends(changes, now_ms):
            if number in jobs:
                lasted = max(age_ms, 0) / 1_000
                self._tracing.record(Span(SHOW, jobs[number], {}, seconds=lasted, links=[batch]))


def _new_ends(changes: Changes, now_ms: int) -> Iterator[tuple[int, int]]:
    """The jobs of whose end the batch has told, by number, and how long ago that was."""
    for step in changes.job_steps:
        if step["kind"] in ENDS and now_ms - step["at"] < NEWS_MS:
            yield step["number"], now_ms - step["at"]
