"""What must hold of finished jobs, whatever happened on the way: proved from the batch API's own journal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from typing import Final

from tests.e2e.road import Job, Outcomes, Road

from imagelane.contracts import topics
from imagelane.contracts.events import CallCompleted
from imagelane.core.destinations import Destination
from imagelane.core.recipes import RECIPES
from imagelane.standin import journal
from imagelane.standin.journal import Entry
from imagelane.standin.judge import Expected, judge, table

ALL_KEPT: Final = dict.fromkeys(("I1", "I2", "I3", "I5", "journal"), "kept")
(OUTPUT,) = RECIPES["default"].outputs


def prove(road: Road, *jobs: Job) -> dict[Job, Outcomes]:
    """Proves I1 to I5 for all jobs of these customers, and that nothing was put aside unread.

    Every line of a list has one outcome: its public URL is in exactly one completed call, or its
    failure is recorded.
    """
    outcomes = {job: road.outcomes(job) for job in jobs}
    for job, found in outcomes.items():
        _prove_counts(road, job, found)
    for customer in {job.customer for job in jobs}:
        _prove_call_numbers(road, customer)
    _prove_told_once(road)
    assert not road.records.dead_letters, road.state()
    _prove_calls(road, outcomes)
    return outcomes


def public_url(road: Road, job_id: str, index: int) -> str:
    """Where the image's result is for everybody."""
    return Destination("default", "", road.stack.public_base_url).public_url(job_id, index, OUTPUT)


def _prove_counts(road: Road, job: Job, found: Outcomes) -> None:
    finish = road.finish_of(job)
    assert finish is not None
    both = found.ok & found.failed.keys()
    assert not both, f"{job}: images {sorted(both)[:10]} have two outcomes\n{road.state()}"
    missing = set(range(found.images)) - found.ok - found.failed.keys()
    assert not missing, f"{job}: images {sorted(missing)[:10]} have no outcome\n{road.state()}"
    counted = (finish.images, finish.delivered, finish.failed, finish.cancelled)
    assert counted == (found.images, len(found.ok), len(found.failed), 0), road.state()
    assert found.urls == {public_url(road, found.job_id, index) for index in found.ok}


def _prove_call_numbers(road: Road, customer: str) -> None:
    told = [one.event for one in road.records.of(topics.COMPLETED, customer)]
    numbers = {one.seq for one in told if isinstance(one, CallCompleted)}
    assert numbers == set(range(1, len(numbers) + 1)), f"{customer}: {sorted(numbers)}"


def _prove_told_once(road: Road) -> None:
    """A completion that is repeated is the same one, by its id and by its counts. Of all jobs so far."""
    tellings = defaultdict(set)
    for one in road.records.all_of(topics.FINISHED):
        counts = (one.event.images, one.event.delivered, one.event.failed, one.event.cancelled)
        tellings[one.event.job_id].add((one.ce_id, counts))
    assert all(len(different) == 1 for different in tellings.values()), tellings


def _prove_calls(road: Road, outcomes: dict[Job, Outcomes]) -> None:
    expected: defaultdict[str, list[str]] = defaultdict(list)
    failed: defaultdict[str, list[str]] = defaultdict(list)
    for job, found in outcomes.items():
        urls = [public_url(road, found.job_id, index) for index in range(found.images)]
        expected[job.customer] += urls
        failed[job.customer] += [urls[index] for index in found.failed]
    entries = [one for one in journal.read(road.stack.journal) if _is_about(one, expected.keys())]
    verdict = judge(entries, Expected(expected=expected, failed=failed))
    assert {one.name: one.word for one in verdict.promises} == ALL_KEPT, (
        f"{table(verdict)}\n{road.state()}"
    )
    assert verdict.unfinished == 0


def _is_about(entry: Entry, customers: Container[str]) -> bool:
    return entry["kind"] == "started" or entry.get("customer") in customers
