"""Jobs, lanes and calls as rows of the tables, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from pyroaring import BitMap

from imagelane.tracker.core.calls import ANSWER, Call, CallSets, Lane, Pursuit
from imagelane.tracker.core.changes import Row
from imagelane.tracker.core.jobs import GREATEST, LEAST, SETS, Job, Notice, Refusal, Sets
from imagelane.tracker.core.joins import greatest

_NAMED: Final = ("number", "job_id", "customer_id")
_PURSUIT: Final = tuple(field.name for field in fields(Pursuit))
_LANE: Final = tuple(field.name for field in fields(Lane))
_CALL_SETS: Final = tuple(field.name for field in fields(CallSets))


def packed(images: BitMap) -> bytes:
    """A set as a column holds it. The same images are always the same bytes."""
    images.run_optimize()
    return images.serialize()


def row_of_job(job: Job, change: int) -> Row:
    """The job with its counts, which never go back."""
    row = {name: getattr(job, name) for name in (*_NAMED, *LEAST, *GREATEST)}
    refusal, notice = job.refused, job.notice
    return row | {
        "over_at": job.finished_at or (refusal and refusal.at),
        "refused_at": refusal and refusal.at,
        "refused_code": refusal and refusal.code,
        "refused_reason": refusal and refusal.reason,
        "requested": len(job.sets.requested),
        "downloaded": len(job.sets.downloaded),
        "processed": len(job.sets.processed),
        "ready": job.ready,
        "delivered": greatest(len(job.sets.delivered), job.told_delivered),
        "failed": greatest(len(job.sets.failed), job.told_failed),
        "cancelled": greatest(len(job.sets.cancelled), job.told_cancelled),
        "change": change,
        "notice_about": notice and notice.about,
        "notice_state": notice and notice.state,
        "notice_attempts": notice and notice.attempts,
        "notice_result": notice and notice.result,
        "notice_at": notice and notice.at,
        "notice_next_at": notice and notice.next_at,
    }


def row_of_sets(job: Job) -> Row:
    """What the job's bitmaps say."""
    return {name: packed(getattr(job.sets, name)) for name in SETS} | {"number": job.number}


def rows_of_failures(job: Job) -> list[Row]:
    """The failures that images of the job met on the road, whatever became of the images."""
    return [
        {"number": job.number, "code": code, "images": packed(job.met[code]), "failed": failed}
        for code, failed in job.failed_by_code().items()
    ]


def job_of(
    row: Mapping[str, Any], sets: Mapping[str, Any], failures: Iterable[Mapping[str, Any]]
) -> Job:
    """The job, from its rows in three tables."""
    job = Job(**{name: row[name] for name in (*_NAMED, *LEAST, *GREATEST)})
    if row["refused_at"] is not None:
        job.refusal = Refusal(row["refused_at"], row["refused_code"], row["refused_reason"])
    if row["notice_state"] is not None:
        state = row["notice_state"]
        job.notice = Notice(
            row["notice_about"],
            state != "pending",
            row["notice_attempts"],
            row["notice_at"],
            state,
            row["notice_result"],
            row["notice_next_at"],
        )
    job.sets = Sets(**{name: BitMap.deserialize(sets[name]) for name in SETS})
    job.met = {one["code"]: BitMap.deserialize(one["images"]) for one in failures}
    return job


def row_of_lane(lane: Lane) -> Row:
    """The lane, field by field."""
    return {name: getattr(lane, name) for name in _LANE}


def lane_of(row: Mapping[str, Any]) -> Lane:
    """The lane from its row."""
    return Lane(**row)


def row_of_call(call: Call) -> Row:
    """The call without its images."""
    row = {name: getattr(call, name) for name in ("customer_id", "seq", *ANSWER)}
    return row | {name: getattr(call.pursuit, name) for name in _PURSUIT}


def rows_of_call_images(call: Call) -> list[Row]:
    """The call's images, job by job."""
    return [
        {"customer_id": call.customer_id, "seq": call.seq, "number": number}
        | {name: packed(getattr(sets, name)) for name in _CALL_SETS}
        for number, sets in call.jobs.items()
    ]


def call_of(row: Mapping[str, Any], images: Iterable[Mapping[str, Any]]) -> Call:
    """The call, from its rows in two tables."""
    call = Call(**{name: row[name] for name in ("customer_id", "seq", *ANSWER)})
    call.pursuit = Pursuit(**{name: row[name] for name in _PURSUIT})
    call.jobs = {
        one["number"]: CallSets(**{name: BitMap.deserialize(one[name]) for name in _CALL_SETS})
        for one in images
    }
    return call
