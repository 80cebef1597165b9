"""The tracker's one loop: a batch of records read, folded, joined and written, with its positions."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from imagelane.platform.records import Record
from imagelane.tracker import metrics
from imagelane.tracker.core.changes import Changes
from imagelane.tracker.core.taking import take
from imagelane.tracker.ledger import Ledger, RebuildOrderedError
from imagelane.tracker.reader import Reader
from imagelane.tracker.retention import Retention
from imagelane.tracker.spans import BatchSpans

LOOK_SECONDS: Final = 30.0
"""How often it looks for jobs to forget, and for new partitions."""
STUCK_SECONDS: Final = 180.0
"""A turn waits for the broker 15 seconds at most, and 60 for another writer's transaction."""


class Following:
    """Runs in a thread of its own. Also what the probes ask, from theirs."""

    name: Final = "following"

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        ledger: Ledger,
        retention: Retention,
        check_database: Callable[[], None] = lambda: None,
        spans: BatchSpans | None = None,
        *,
        strict_partitions: int = 0,
    ) -> None:
        """`check_database` raises where what is written would be lost."""
        self._open_reader = open_reader
        self._check_database = check_database
        self._strict_partitions = strict_partitions
        self._ledger = ledger
        self._retention = retention
        self._spans = spans
        self._turned_at = time.monotonic()
        self._is_reading = False
        self._log = structlog.get_logger("imagelane.tracker")

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Raises whatever it cannot go on from: what was written stands."""
        while not stop.is_set():
            reader = self._open_reader()
            try:
                self._begin(reader)
                self._follow(reader, stop)
            finally:
                reader.close()

    def lives(self) -> str:
        """Whether the loop turns."""
        seconds = time.monotonic() - self._turned_at
        return "" if seconds < STUCK_SECONDS else f"nothing was read for {seconds:.0f} s"

    def is_ready(self) -> str:
        """Whether records are being read."""
        return "" if self._is_reading else "it is not reading yet"

    def has_started(self) -> str:
        """The same."""
        return self.is_ready()

    def _begin(self, reader: Reader) -> None:
        self._ledger.open()
        reader.start(self._ledger.positions)
        self._is_reading = True
        self._log.info("following.begun", behind=reader.behind)

    def _follow(self, reader: Reader, stop: threading.Event) -> None:
        """Until `stop`, or until everything is to be read anew."""
        look_at = 0.0
        while not stop.is_set():
            self._turned_at = time.monotonic()
            metrics.BEHIND.set(reader.behind)  # also where nothing is written, or read any more
            self._check_database()
            try:
                records = reader.read()
                self._write(records, reader)
            except RebuildOrderedError:
                self._log.warning("rebuild.begun")
                return
            if time.monotonic() >= look_at:
                if reader.new_partitions():
                    return
                more = self._retention.step(_now_ms())
                look_at = time.monotonic() + (0.0 if more else LOOK_SECONDS)

    def _write(self, records: Sequence[Record], reader: Reader) -> None:
        begun = time.perf_counter()
        changes = Changes()
        for record in records:
            trouble = take(changes, record, self._strict_partitions)
            if trouble is not None:
                self._say(record, trouble)
        positions = reader.moved()
        if not positions:
            self._ledger.look()
            return
        self._ledger.write(changes, positions, _now_ms())
        seconds = time.perf_counter() - begun
        metrics.WRITING.observe(seconds)
        if self._spans is not None and records:
            self._spans.written(
                changes,
                records=len(records),
                behind=reader.behind,
                seconds=seconds,
                now_ms=_now_ms(),
            )
        for topic, read in Counter(record.topic for record in records).items():
            metrics.RECORDS.labels(topic).inc(read)

    def _say(self, record: Record, trouble: str) -> None:
        metrics.UNREADABLE.inc()
        self._log.warning(
            "record.unreadable",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=trouble,
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
