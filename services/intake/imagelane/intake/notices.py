"""The first record of a notice: intake knows a job's `notify_url`, and hears of its end."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import UNSET, UnsetType

from imagelane.contracts.codec import event_id
from imagelane.contracts.events import JobFinished, JobRefused
from imagelane.contracts.notices import NoticeRecorded
from imagelane.platform.notice_log import NoticeLog


class Notices:
    """Tells the notifier what a job's submitter wants to hear. Told twice, it is the same notice."""

    def __init__(self, log: NoticeLog) -> None:
        self._log = log

    async def tell(self, event: JobFinished | JobRefused, notify_url: str | UnsetType) -> None:
        """Returns when Kafka has it, at once where nobody wants to hear."""
        if notify_url is UNSET:
            return
        notice = NoticeRecorded(
            customer_id=event.customer_id,
            job_id=event.job_id,
            notice_id=event_id(event),
            about="finished" if isinstance(event, JobFinished) else "refused",
            state="pending",
            occurred_at=datetime.now(UTC),
            notify_url=notify_url,
            finished=event if isinstance(event, JobFinished) else UNSET,
            refused=UNSET if isinstance(event, JobFinished) else event,
        )
        await self._log.send(notice)
