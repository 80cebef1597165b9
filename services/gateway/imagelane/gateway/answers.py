"""What the API answers with, beside the tracker's own views, and how it becomes a response."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, cast

import msgspec
from aiohttp import web

from imagelane.gateway.core.submission import Submission
from imagelane.tracking.views import (
    CallStatus,
    Counts,
    FailureCount,
    JobState,
    JobStatus,
    LaneStatus,
)

SUBMITTED: Final = "submitted"
JSON_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Links(msgspec.Struct, frozen=True, rename={"self_": "self"}):
    """Where to go on from a job, as paths of this server."""

    self_: str
    images: str
    results: str
    events: str
    cancel: str


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """Kafka has the submission; the job follows."""

    job_id: str
    customer_id: str
    idempotency_key: str
    status: Literal["submitted"]
    submitted_at: datetime
    links: Links


class JobAnswer(JobStatus, frozen=True, kw_only=True):
    """A job as the tracker knows it, with its failures by code and where to go on."""

    failures: list[FailureCount]
    links: Links


class LaneAnswer(LaneStatus, frozen=True, kw_only=True):
    """A lane as the tracker knows it, with its last calls, the newest first."""

    calls: list[CallStatus]


class Commanded(msgspec.Struct, frozen=True, kw_only=True):
    """Kafka has the command; what it does follows."""

    command: Literal["cancel", "delete", "release"]
    customer_id: str
    decided_by: str
    decided_at: datetime
    job_id: str | msgspec.UnsetType = msgspec.UNSET
    seq: int | msgspec.UnsetType = msgspec.UNSET


class NotifySecrets(msgspec.Struct, frozen=True):
    """What notices to the customer's `notify_url` are signed with (Standard Webhooks), the newest first."""

    customer_id: str
    secrets: list[str]


def links_of(job_id: str) -> Links:
    """The job's places."""
    at = f"/v1/jobs/{job_id}"
    return Links(at, f"{at}/images", f"{at}/results", f"{at}/events", f"{at}/cancel")


def submitted_of(submission: Submission) -> Submitted:
    """The answer to a submission."""
    return Submitted(
        job_id=submission.job_id,
        customer_id=submission.event.customer_id,
        idempotency_key=submission.idempotency_key,
        status="submitted",
        submitted_at=submission.submitted_at,
        links=links_of(submission.job_id),
    )


def submitted_status(submission: Submission) -> JobStatus:
    """A job that the tracker has not heard of yet. It has the status `submitted`."""
    event = submission.event
    return JobStatus(
        job_id=submission.job_id,
        customer_id=event.customer_id,
        status=cast("JobState", SUBMITTED),
        recipe=event.recipe,
        destination=event.destination,
        images=None,
        counts=Counts(),
        change=0,
        deadline=event.deadline or None,
        idempotency_key=submission.idempotency_key,
        notify_url=event.notify_url or None,
    )


def job_answer(job: JobStatus, failures: list[FailureCount]) -> JobAnswer:
    """The job with what belongs to it."""
    return JobAnswer(**msgspec.structs.asdict(job), failures=failures, links=links_of(job.job_id))


def lane_answer(lane: LaneStatus, calls: list[CallStatus]) -> LaneAnswer:
    """The lane with its calls."""
    return LaneAnswer(**msgspec.structs.asdict(lane), calls=calls)


def json_answer(
    answer: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """The answer as JSON; nobody on the way keeps a copy."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(answer),
        content_type="application/json",
        headers={**JSON_HEADERS, **(headers or {})},
    )
