"""Notices: what submitters asked to hear at their `notify_url`, and how far that has come."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from imagelane.contracts.events import Event, JobFinished, JobRefused
from imagelane.contracts.fields import Count, CustomerId, Instant, JobId, NotifyUrl, OccurredAt

NoticeId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="The `webhook-id`: the event's id, the same with every attempt.",
    ),
]
NoticeState = Literal["pending", "delivered", "given_up"]
NoticeResult = Literal[
    "2xx",
    "3xx",
    "4xx",
    "410",
    "5xx",
    "timeout",
    "unreachable",
    "tls_error",
    "bad_response",
    "url_refused",
    "too_many",
]


class NoticeRecorded(Event, frozen=True, kw_only=True, tag="notice.recorded.v1"):
    """The notifier's log, one per notice: the event that a job's submitter is to hear, and whether it was.

    Intake writes the first record of a notice, the notifier one after every attempt.
    """

    customer_id: CustomerId
    job_id: JobId
    notice_id: NoticeId
    about: Annotated[
        Literal["finished", "refused"], Meta(description="Which end of the job it tells of.")
    ]
    state: Annotated[
        NoticeState,
        Meta(description="`given_up`: nobody took it in all attempts, or it is not wanted (410)."),
    ]
    occurred_at: OccurredAt
    attempts: Annotated[Count, Meta(description="How often it was posted.")] = 0
    last_result: (
        Annotated[
            NoticeResult,
            Meta(
                description="What the last attempt came to: the class of its status, or why there was none;"
                " `too_many`: more of the customer's notices wait than are kept."
            ),
        ]
        | UnsetType
    ) = UNSET
    next_at: (
        Annotated[Instant, Meta(description="When the next attempt is due; absent: at once.")]
        | UnsetType
    ) = UNSET
    notify_url: NotifyUrl | UnsetType = UNSET
    finished: (
        Annotated[JobFinished, Meta(description="The event to post; only while `pending`.")]
        | UnsetType
    ) = UNSET
    refused: (
        Annotated[JobRefused, Meta(description="The same, of a list that became no job.")]
        | UnsetType
    ) = UNSET


def notice_key(notice: NoticeRecorded) -> bytes:
    """The key of a notice's records. Their partition is the customer's, whatever this hashes to."""
    return f"notice|{notice.customer_id}|{notice.job_id}|{notice.notice_id}".encode()
