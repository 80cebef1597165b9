"""What an answer to a notice means, and what becomes of the notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from imagelane.contracts.events import JobFinished, JobRefused
from imagelane.contracts.notices import NoticeRecorded, NoticeResult

GONE: Final = 410
TAKEN: Final = range(200, 300)
REDIRECTED: Final = range(300, 400)
REFUSED: Final = range(400, 500)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt ended."""

    result: NoticeResult
    retry_after_seconds: float | None = None
    """What the receiver asks us to wait at least."""
    status: int | None = None
    """Its HTTP status, if there was an answer."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a notice is posted again: one delay before each further attempt, so it has one more attempt."""

    delays_seconds: Sequence[float]
    jitter: float
    """Up to this share of a delay is added to it, so that what failed together is not repeated together."""
    most_seconds: float
    """A receiver cannot ask for a longer wait."""

    def after(
        self, notice: NoticeRecorded, attempt: Attempt, now: datetime, *, luck: float
    ) -> NoticeRecorded:
        """The record of the attempt: delivered, given up, or pending with its next time. `luck` is in [0, 1)."""
        attempts = notice.attempts + 1
        if attempt.result == "2xx":
            return ended(notice, "2xx", now, attempts=attempts, delivered=True)
        if attempt.result == "410" or attempts > len(self.delays_seconds):
            return ended(notice, attempt.result, now, attempts=attempts)
        own_seconds = self.delays_seconds[attempts - 1] * (1 + self.jitter * luck)
        asked_seconds = min(attempt.retry_after_seconds or 0.0, self.most_seconds)
        return replace(
            notice,
            attempts=attempts,
            last_result=attempt.result,
            next_at=now + timedelta(seconds=max(own_seconds, asked_seconds)),
            occurred_at=now,
        )


def attempt_of(status: int, retry_after_seconds: float | None) -> Attempt:
    """What an HTTP status means. A redirect is no consent: nobody is posted to but the URL itself."""
    if status in TAKEN:
        return Attempt("2xx", status=status)
    if status == GONE:
        return Attempt("410", status=status)
    result: NoticeResult = "5xx"
    if status in REDIRECTED:
        result = "3xx"
    elif status in REFUSED:
        result = "4xx"
    return Attempt(result, retry_after_seconds, status)


def ended(
    notice: NoticeRecorded,
    result: NoticeResult,
    now: datetime,
    *,
    attempts: int,
    delivered: bool = False,
) -> NoticeRecorded:
    """The last record of a notice. URL and event are not needed any more, so they go."""
    return NoticeRecorded(
        customer_id=notice.customer_id,
        job_id=notice.job_id,
        notice_id=notice.notice_id,
        about=notice.about,
        state="delivered" if delivered else "given_up",
        occurred_at=now,
        attempts=attempts,
        last_result=result,
    )


def fold(have: NoticeRecorded | None, told: NoticeRecorded) -> NoticeRecorded | None:
    """What is pending after one more record of the same key, in the order of the log; None: nothing.

    A notice that is told again from its beginning keeps the attempts that it had.
    """
    if told.state != "pending":
        return None
    return told if have is None or told.attempts > have.attempts else have


def is_whole(notice: NoticeRecorded) -> bool:
    """Whether there is something to post, and somewhere to post it."""
    has_event = notice.finished is not UNSET or notice.refused is not UNSET
    return has_event and notice.notify_url is not UNSET


def event_in(notice: NoticeRecorded) -> JobFinished | JobRefused:
    """What is to be posted. Raises `ValueError` for a record that has nothing of the kind."""
    event = notice.finished if notice.finished is not UNSET else notice.refused
    if event is UNSET:
        raise ValueError(f"finished, refused: the notice of {notice.job_id} has neither")
    return event
