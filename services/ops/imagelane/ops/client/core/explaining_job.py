"""Why a job is where it is."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from imagelane.ops.client.core.answers import Job
from imagelane.ops.client.core.explanation import Explanation, Facts
from imagelane.ops.client.core.lane_words import ago, at, images, lane_goes_on, lane_says, requested
from imagelane.ops.client.core.server_words import FIRST_WAITING, server_says

SUBMITTED: Final = (
    "Kafka has the submission, and intake has not read its list yet.",
    "Intake freezes a copy of the list and requests its images.",
    "Whether other lists are before it, or its server takes its time, only intake's log tells.",
)


def explain_job(job: Job, facts: Facts) -> Explanation:
    """The job's explanation."""
    why, after, not_known = _told(job, facts)
    return Explanation(
        subject=f"job {job.job_id}",
        state=job.status,
        why=why,
        next=after,
        not_known=not_known,
    )


def _told(job: Job, facts: Facts) -> tuple[str, str, str]:
    if job.status == "submitted":
        return SUBMITTED
    if job.status == "refused":
        refusal = (
            "no reason is told"
            if job.refusal is None
            else f"{job.refusal.reason} ({job.refusal.code})"
        )
        return (
            f"The list was refused: {refusal}.",
            "Nothing more happens to it; its idempotency key is free again.",
            "",
        )
    if job.status == "finished":
        return _finished(job, facts.now), "Nothing more happens to it.", ""
    if job.status == "accepted":
        why, after, _ = _running(job, facts)
        so_far = f"Intake is requesting its images, as fast as the downloader takes them: {requested(job)} so far."
        return f"{so_far} {why}", after, ""
    if job.status != "running":
        return f"The job is {job.status}.", "", "This command line does not know that word."
    return _running(job, facts)


def _finished(job: Job, now: datetime) -> str:
    counts = job.counts
    when = "" if job.finished_at is None else f" {ago(job.finished_at, now)}"
    told = [
        f"{count:,} {word}"
        for word, count in (
            ("delivered", counts.delivered),
            ("failed", counts.failed),
            ("cancelled", counts.cancelled),
        )
        if count
    ]
    cut = {
        "deadline": " Its deadline cut it short.",
        "cancel": " A cancel cut it short.",
        "delete": " It was deleted.",
    }.get(job.cut_short_by or "", "")
    ended = (
        f"It ended{when}: of {images(job.images or 0)}, {', '.join(told) or 'none was settled'}."
    )
    return f"{ended}{cut}{_notice(job, now)}"


def _notice(job: Job, now: datetime) -> str:
    """What its `notify_url` has heard."""
    notice = job.notice
    if notice is None:
        return ""
    if notice.state == "delivered":
        return " Its notify_url has been told."
    tries = f"{notice.attempts} attempts, the last {notice.last_result or 'without an answer'}"
    if notice.state == "given_up":
        return f" Its notify_url was given up after {tries}."
    when = "soon" if notice.next_at is None else f"again at {at(notice.next_at, now)}"
    return f" Its notify_url has not taken the news yet ({tries}) and is told {when}."


def _running(job: Job, facts: Facts) -> tuple[str, str, str]:
    parts = [_steps(job)]
    if facts.server is not None:
        parts.append(server_says(FIRST_WAITING, facts.server, facts.now))
    parts.append(lane_says(facts.lane, facts.now))
    if facts.others:
        jobs = (
            "1 other open job" if len(facts.others) == 1 else f"{len(facts.others)} other open jobs"
        )
        parts.append(f"The customer has {jobs} in the same lane.")
    if job.cut_short_by or job.cancel_asked_at:
        parts.append("The job is being cut short: what is in no call yet will be in none.")
    after = lane_goes_on(facts.lane)
    if job.deadline is not None and not job.cut_short_by:
        passed = job.deadline <= facts.now
        when = "has passed" if passed else f"is {at(job.deadline, facts.now)}"
        after += f" Its deadline {when}: what is in no call by then is cancelled."
    return " ".join(parts), after, ""


def _steps(job: Job) -> str:
    """How many images stand at which step; only steps where there are any."""
    counts = job.counts
    of = counts.requested if job.images is None else job.images
    failing = max(counts.processed - counts.ready - counts.settled, 0)
    waiting = [
        (of - counts.requested, "to be requested"),
        (counts.requested - counts.downloaded, "for the downloader"),
        (counts.downloaded - counts.processed, "for the processor"),
        (counts.ready, "for a call or the end of one"),
        (failing, "for their failure or cancellation to be recorded"),
    ]
    told = [f"{count:,} {what}" for count, what in waiting if count > 0]
    settled = f"Of {images(of)}, {counts.settled:,} are settled"
    return f"{settled}; waiting are {', '.join(told)}." if told else f"{settled}."
