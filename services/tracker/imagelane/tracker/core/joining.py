"""A batch's changes, joined with what the database knows of the same jobs, lanes and calls."""

from __future__ import annotations

from dataclasses import dataclass, field

from imagelane.contracts.topics import CALLS
from imagelane.tracker.core import rows
from imagelane.tracker.core.calls import Call, Lane, later
from imagelane.tracker.core.changes import Changes, Place, Row
from imagelane.tracker.core.fold_images import set_step
from imagelane.tracker.core.jobs import Job


@dataclass(slots=True)
class Known:
    """What the database has of everything that a batch touches. `forgotten` jobs are deleted for good."""

    jobs: dict[int, Job] = field(default_factory=dict)
    lanes: dict[str, Lane] = field(default_factory=dict)
    calls: dict[tuple[str, int], Call] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Rows:
    """What is to be written, by table. Rows of steps, images and commands are only added where they are new."""

    jobs: list[Row] = field(default_factory=list)
    job_sets: list[Row] = field(default_factory=list)
    failures: list[Row] = field(default_factory=list)
    images: list[Row] = field(default_factory=list)
    image_steps: list[Row] = field(default_factory=list)
    job_steps: list[Row] = field(default_factory=list)
    lanes: list[Row] = field(default_factory=list)
    calls: list[Row] = field(default_factory=list)
    call_images: list[Row] = field(default_factory=list)
    call_steps: list[Row] = field(default_factory=list)
    commands: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    hosts: list[Row] = field(default_factory=list)


def join(known: Known, changes: Changes, change: int) -> Rows:
    """The rows after the batch. `known` and `changes` are used up. Jobs are numbered on from `change`."""
    made = Rows(
        call_steps=changes.call_steps,
        commands=changes.commands,
        dead_letters=changes.dead_letters,
        hosts=list(changes.hosts.values()),
    )
    gone = known.forgotten
    jobs = (job for job in changes.jobs.values() if job.number not in gone)
    seen = {number: job.sets.seen for number, job in known.jobs.items()}
    for number, index in sorted(changes.images):
        if number not in gone and not (number in seen and index in seen[number]):
            made.images.append(changes.images[number, index])
    made.image_steps = [step for step in changes.image_steps if step["number"] not in gone]
    made.job_steps = [step for step in changes.job_steps if step["number"] not in gone]
    for number_of_change, job in enumerate(jobs, change + 1):
        _join_job(known, job, number_of_change, made)
    for customer_id, lane in changes.lanes.items():
        have = known.lanes.get(customer_id)
        made.lanes.append(rows.row_of_lane(lane if have is None else later(have, lane)))
    for key, call in changes.calls.items():
        _join_call(known, key, call, made)
    return made


def _join_job(known: Known, news: Job, change: int, made: Rows) -> None:
    job = known.jobs.get(news.number)
    if job is None:
        job = Job(news.number, news.job_id, news.customer_id)
    job.absorb(news)
    for kind, record, images in job.new_outcomes():
        place = Place(CALLS, record.partition, record.offset)
        made.job_steps.append(set_step(job, kind, place, record.at, images))
    made.jobs.append(rows.row_of_job(job, change))
    made.job_sets.append(rows.row_of_sets(job))
    made.failures += rows.rows_of_failures(job)


def _join_call(known: Known, key: tuple[str, int], news: Call, made: Rows) -> None:
    call = known.calls.get(key)
    if call is None:
        call = news
    else:
        call.absorb(news)
    for number in known.forgotten:
        call.jobs.pop(number, None)
    made.calls.append(rows.row_of_call(call))
    made.call_images += rows.rows_of_call_images(call)
