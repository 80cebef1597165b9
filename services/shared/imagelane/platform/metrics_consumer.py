"""What `WorkConsumer` counts: records that came, were done, and commits."""

from __future__ import annotations

from typing import Final

from imagelane.platform.metrics import MetricList
from imagelane.platform.metrics_group import GROUPS

METRICS: Final = MetricList("intake", "downloader", "processor", "notifier")
RECORDS: Final = METRICS.counter(
    "imagelane_consumer_records_total",
    "Records of the inputs: received, skipped (finished before a restart), done, or done in vain"
    " (their partition had left meanwhile, and its new owner does them again).",
    group=GROUPS[:5],
    what=("received", "skipped", "done", "in_vain"),
)
COMMITS: Final = METRICS.counter(
    "imagelane_consumer_commits_total",
    "Commits of offsets, by what the broker answered.",
    group=GROUPS[:5],
    result=("ok", "failed"),
)
HOW: Final = ("assigned", "revoked", "lost")
MOVES: Final = METRICS.counter(
    "imagelane_consumer_moved_partitions_total",
    "Partitions that came, were handed over, or were lost without being asked.",
    group=GROUPS[:5],
    how=HOW,
)


class MemberCounts:
    """One member's counts. Its thread counts by the batch, so a record costs next to nothing."""

    def __init__(self, service: str) -> None:
        self._received = RECORDS.labels(service, "received")
        self._skipped = RECORDS.labels(service, "skipped")
        self._done = RECORDS.labels(service, "done")
        self._in_vain = RECORDS.labels(service, "in_vain")
        self._committed = {
            True: COMMITS.labels(service, "ok"),
            False: COMMITS.labels(service, "failed"),
        }
        self._moved = {how: MOVES.labels(service, how) for how in HOW}

    def received(self, records: int, skipped: int) -> None:
        """Records that came: to be worked on, and finished before."""
        self._received.inc(records)
        if skipped:
            self._skipped.inc(skipped)

    def finished(self, done: int, in_vain: int) -> None:
        """Records that are done, in time or too late."""
        if done:
            self._done.inc(done)
        if in_vain:
            self._in_vain.inc(in_vain)

    def committed(self, *, ok: bool) -> None:
        """A commit's answer."""
        self._committed[ok].inc()

    def moved(self, how: str, partitions: int) -> None:
        """Partitions came or went."""
        self._moved[how].inc(partitions)
