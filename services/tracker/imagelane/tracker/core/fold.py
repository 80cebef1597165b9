"""What each event says. Folding twice, or in another order, says nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.contracts import hosts as h
from imagelane.contracts import notices as n
from imagelane.contracts.image_sets import unpack
from imagelane.tracker.core import fold_calls, fold_images
from imagelane.tracker.core.changes import (
    Changes,
    Place,
    Row,
    held,
    known,
    milliseconds,
    moment,
    plain,
)
from imagelane.tracker.core.jobs import Notice, Outcomes, Refusal
from imagelane.tracking.steps import Kind

Fold = Callable[[Changes, Place, Any], None]


def fold(changes: Changes, place: Place, event: e.Event) -> None:
    """Notes what the event says. Raises `UnreadableImageSetError` or `OutOfRangeError`, having noted nothing."""
    folds = _FOLDS.get(type(event))
    if folds is not None:
        folds(changes, place, event)


def _job_step(
    changes: Changes,
    place: Place,
    kind: Kind,
    event: e.JobAccepted | e.JobRefused | e.JobSealed | e.JobFinished | n.NoticeRecorded,
    refusal: Refusal | None = None,
) -> None:
    changes.job_steps.append(
        {
            "number": changes.jobs[event.job_id].number,
            "kind": kind,
            "partition": place.partition,
            "offset": place.offset,
            "at": milliseconds(event.occurred_at),
            "images": None,
            "round": None,
            "code": refusal.code if refusal else None,
            "reason": refusal.reason if refusal else None,
        }
    )


def _accepted(changes: Changes, place: Place, event: e.JobAccepted) -> None:
    images = None if event.images is UNSET else held(event.images)
    at = milliseconds(event.occurred_at)
    job = changes.job(event.customer_id, event.job_id, at)
    job.accepted_at = at if job.accepted_at is None else min(job.accepted_at, at)
    job.recipe, job.destination = event.recipe, event.destination
    if images is not None:  # none in events of before this field
        job.images = images
    job.idempotency_key = known(event.idempotency_key)
    job.notify_url = known(event.notify_url)
    job.deadline = moment(event.deadline)
    job.handed_in_at = moment(event.handed_in_at)
    _job_step(changes, place, Kind.JOB_ACCEPTED, event)


def _refused(changes: Changes, place: Place, event: e.JobRefused) -> None:
    at = milliseconds(event.occurred_at)
    job = changes.job(event.customer_id, event.job_id, at)
    refusal = Refusal(at, event.failure.code, plain(event.failure.reason))
    if job.refusal is None or at < job.refusal.at:
        job.refusal = refusal
    job.idempotency_key = known(event.idempotency_key)
    _job_step(changes, place, Kind.JOB_REFUSED, event, refusal)


def _sealed(changes: Changes, place: Place, event: e.JobSealed) -> None:
    images = held(event.images)
    at = milliseconds(event.occurred_at)
    job = changes.job(event.customer_id, event.job_id, at)
    job.sealed_at = at if job.sealed_at is None else min(job.sealed_at, at)
    job.recipe, job.destination = event.recipe, event.destination
    job.images = images
    _job_step(changes, place, Kind.JOB_SEALED, event)


def _finished(changes: Changes, place: Place, event: e.JobFinished) -> None:
    images, *told = map(held, (event.images, event.delivered, event.failed, event.cancelled))
    at = milliseconds(event.occurred_at)
    job = changes.job(event.customer_id, event.job_id, at)
    job.finished_at = at if job.finished_at is None else min(job.finished_at, at)
    job.images = images
    job.told_delivered, job.told_failed, job.told_cancelled = told
    job.cut_short_by = event.cut_short_by or None
    _job_step(changes, place, Kind.JOB_FINISHED, event)


def _recorded(changes: Changes, place: Place, event: e.JobRecorded) -> None:
    at = milliseconds(event.occurred_at)
    sets = (unpack(event.delivered), unpack(event.failed), unpack(event.cancelled))
    outcomes = Outcomes(place.partition, place.offset, at, *sets)
    changes.job(event.customer_id, event.job_id, at).recorded.append(outcomes)


_NOTICE_ENDS: Final = {
    "delivered": Kind.NOTICE_DELIVERED,
    "given_up": Kind.NOTICE_GIVEN_UP,
}


def _noticed(changes: Changes, place: Place, event: n.NoticeRecorded) -> None:
    attempts = held(event.attempts)
    at = milliseconds(event.occurred_at)
    job = changes.job(event.customer_id, event.job_id, at)
    kind = _NOTICE_ENDS.get(event.state)
    notice = Notice(
        event.about,
        kind is not None,
        attempts,
        at,
        event.state,
        event.last_result or None,
        moment(event.next_at),
    )
    if job.notice is None or notice.rank > job.notice.rank:
        job.notice = notice
    if kind is not None:
        _job_step(changes, place, kind, event)


def _host_told(changes: Changes, _place: Place, event: h.HostRecorded) -> None:
    """The last word of each downloader; the database keeps the newest one, too."""
    at_a_time = None if event.images_at_a_time is UNSET else held(event.images_at_a_time)
    key = plain(event.host), plain(event.worker)
    row: Row = {
        "host": key[0],
        "worker": key[1],
        "state": event.state,
        "images_at_a_time": at_a_time,
        "resumes_at": moment(event.resumes_at),
        "trouble": known(event.trouble),
        "requests_per_second": event.requests_per_second or None,
        "told_at": milliseconds(event.occurred_at),
        "holds_until": milliseconds(event.holds_until),
    }
    have = changes.hosts.get(key)
    if have is None or row["told_at"] >= have["told_at"]:
        changes.hosts[key] = row


_COMMANDS: Final[dict[type[e.Event], Kind]] = {
    c.CancelJob: Kind.JOB_CANCEL_ASKED,
    c.DeleteJob: Kind.JOB_DELETE_ASKED,
    c.CancelCustomer: Kind.CUSTOMER_CANCEL_ASKED,
    c.DeleteCustomer: Kind.CUSTOMER_DELETE_ASKED,
    c.ReleaseLane: Kind.LANE_RELEASE_ASKED,
}


def _commanded(
    changes: Changes,
    place: Place,
    event: c.CancelJob | c.DeleteJob | c.CancelCustomer | c.DeleteCustomer | c.ReleaseLane,
) -> None:
    release = event if isinstance(event, c.ReleaseLane) else None
    seq = held(release.seq) if release else None
    changes.commands.append(
        {
            "partition": place.partition,
            "offset": place.offset,
            "kind": _COMMANDS[type(event)],
            "customer_id": event.customer_id,
            "job_id": event.job_id if isinstance(event, c.CancelJob | c.DeleteJob) else None,
            "seq": seq,
            "decision": release.decision if release else None,
            "decided_by": plain(event.decided_by),
            "note": known(release.note) if release else None,
            "at": milliseconds(event.occurred_at),
        }
    )


_FOLDS: Final[dict[type[e.Event], Fold]] = {
    e.JobAccepted: _accepted,
    e.JobRefused: _refused,
    e.JobSealed: _sealed,
    e.JobFinished: _finished,
    e.JobRecorded: _recorded,
    e.ImageRequested: fold_images.requested,
    e.ImageDownloaded: fold_images.downloaded,
    e.ImageProcessed: fold_images.processed,
    e.ImagesMissing: fold_images.missing,
    e.ImagesSettled: fold_images.settled,
    e.BatchRequested: fold_calls.asked,
    e.LaneRecorded: fold_calls.recorded,
    e.CallCompleted: fold_calls.completed,
    n.NoticeRecorded: _noticed,
    h.HostRecorded: _host_told,
    **dict.fromkeys(_COMMANDS, _commanded),
}
"""`LaneTold` tells what `JobRecorded` has recorded before; ticks, hints and the topology tell nothing of a job."""
