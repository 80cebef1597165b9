"""Whatever order the topics are read in, in whatever batches and how often: the rows are the same."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tracker.life import Broker, Log, interleaved, live, some_job

from imagelane.platform.records import Record
from imagelane.tracker.core.changes import Changes, Row
from imagelane.tracker.core.joining import Known, Rows, join
from imagelane.tracker.core.rows import call_of, job_of, lane_of
from imagelane.tracker.core.taking import take
from imagelane.tracker.ledger import ONCE
from imagelane.tracking.tables import metadata

pytestmark = pytest.mark.slow

Key = tuple[Any, ...]
seeds = st.integers(0, 2**32)


@dataclass
class Memory:
    """The database, as far as the core sees it: rows by table and key."""

    tables: dict[str, dict[Key, Row]] = field(
        default_factory=lambda: {one.name: {} for one in fields(Rows)}
    )
    change: int = 0

    def take(self, records: Iterable[Record]) -> None:
        """One batch."""
        changes = Changes()
        for record in records:
            assert take(changes, record) is None
        rows = join(self._known(changes), changes, self.change)
        self.change += len(rows.jobs)
        for name, table in self.tables.items():
            key = [column.name for column in metadata.tables[name].primary_key]
            for row in getattr(rows, name):
                at = tuple(row[column] for column in key)
                if name not in ONCE or at not in table:
                    table[at] = row

    def _known(self, changes: Changes) -> Known:
        jobs, sets = self.tables["jobs"], self.tables["job_sets"]
        numbers = {job.number for job in changes.jobs.values()}
        return Known(
            jobs={
                number: job_of(row, sets[number,], self._with("failures", number))
                for (number,), row in jobs.items()
                if number in numbers
            },
            lanes={name: lane_of(row) for (name,), row in self.tables["lanes"].items()},
            calls={
                (name, seq): call_of(row, self._with("call_images", name, seq))
                for (name, seq), row in self.tables["calls"].items()
            },
        )

    def _with(self, table: str, *key: object) -> list[Row]:
        return [row for at, row in self.tables[table].items() if at[: len(key)] == key]

    def answers(self) -> dict[str, dict[Key, Row]]:
        """Everything but the numbers by which changes of jobs are followed."""
        return {
            name: {
                at: {column: value for column, value in row.items() if column != "change"}
                for at, row in table.items()
            }
            for name, table in self.tables.items()
        }


def batches(rng: random.Random, records: Sequence[Record]) -> Iterable[Sequence[Record]]:
    begin = 0
    while begin < len(records):
        end = begin + rng.choice([1, 2, 7, 40])
        yield records[begin:end]
        begin = end


def some_log(rng: random.Random) -> Log:
    broker = Broker(rng)
    seqs: dict[str, int] = {}
    for _ in range(rng.randrange(1, 4)):
        customer = rng.choice(["acme", "globex"])
        job = some_job(rng, customer, rng.randrange(1, 9))
        seqs[customer] = live(broker, job, seqs.get(customer, 1))
    return broker.log


def read(*parts: Sequence[Record]) -> Memory:
    memory = Memory()
    for part in parts:
        memory.take(part)
    return memory


@given(seeds)
def test_no_order_of_topics_no_batching_and_no_repetition_changes_a_row(seed: int) -> None:
    rng = random.Random(seed)
    log = some_log(rng)
    at_once = read([record for records in log.values() for record in records])
    mixed = read(*batches(rng, interleaved(rng, log, again=0.3)))
    assert mixed.answers() == at_once.answers()


@given(seeds)
def test_reading_everything_again_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    log = some_log(rng)
    memory = read(*batches(rng, interleaved(rng, log)))
    before = memory.answers()
    memory.take([record for records in log.values() for record in records])
    assert memory.answers() == before


COUNTS = ("requested", "downloaded", "processed", "delivered", "failed", "cancelled")


@given(seeds)
def test_counts_never_go_back_and_add_up_in_the_end(seed: int) -> None:
    rng = random.Random(seed)
    memory = Memory()
    highest: dict[Key, Row] = {}
    for batch in batches(rng, interleaved(rng, some_log(rng), again=0.2)):
        memory.take(batch)
        for at, row in memory.tables["jobs"].items():
            before = highest.get(at, dict.fromkeys(COUNTS, 0))
            assert all(row[name] >= before[name] for name in COUNTS)
            highest[at] = row
    for row in highest.values():
        assert row["delivered"] + row["failed"] + row["cancelled"] == row["images"]
        assert row["requested"] == row["downloaded"] == row["processed"] == row["images"]
        assert row["ready"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_every_failed_image_has_a_code_or_failed_in_its_call(seed: int) -> None:
    rng = random.Random(seed)
    broker = Broker(rng)
    job = some_job(rng, "acme", 40, failing=0.3)
    live(broker, job)
    memory = read([record for records in broker.log.values() for record in records])
    (row,) = memory.tables["jobs"].values()
    by_code = {at[1]: one["failed"] for at, one in memory.tables["failures"].items()}
    assert sum(by_code.values()) == len(job.broken)
    assert set(by_code) == {why.code for why in job.broken.values()}
    assert row["failed"] == len(job.broken) + 1  # the one that its call lost
