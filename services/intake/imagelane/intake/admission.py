"""From a submission to an accepted list, or to a refusal. Nothing is requested before it is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from imagelane.contracts.codec import Headers, decode
from imagelane.contracts.events import JobAccepted, JobFinished, JobRefused
from imagelane.contracts.topics import FINISHED
from imagelane.core.failures import Code
from imagelane.core.recipes import list_key
from imagelane.intake.core.frozen import FrozenHeader, fingerprint_of
from imagelane.intake.core.marks import Mark
from imagelane.intake.core.refusals import ListRefusedError, Rules, check_admissible
from imagelane.intake.core.submissions import Submission
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.list_fetch import ListFetcher
from imagelane.intake.metrics import LISTS
from imagelane.intake.notices import Notices
from imagelane.intake.spans import ACCEPT, REFUSE
from imagelane.platform.producer import EventProducer
from imagelane.platform.tracing import Done

LEAVES_THE_JOB_ALONE: Final = frozenset(
    (Code.IDEMPOTENCY_CONFLICT, Code.JOB_DELETED, Code.SUBMISSION_TOO_OLD)
)
"""Refusals under an id of their own: the key's job exists, or did."""
IS_NOT_TOLD: Final = frozenset((Code.NOTIFY_URL_REFUSED, Code.SUBMISSION_TOO_OLD))
"""Refusals that are posted to nobody: there is nowhere to post, or a replay brings them."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A list with a frozen copy. `is_new`: it was frozen just now, so no image of it was requested."""

    header: FrozenHeader
    is_new: bool


class Admission:
    """Decides on submissions. The frozen copy is the decision.

    While there is none, everything is checked and may be refused; a refused submission does not use
    up its key. Once there is one, nothing of the job is refused any more, whatever time it is and
    whatever the settings say by then.
    """

    def __init__(
        self,
        lists: FrozenLists,
        fetcher: ListFetcher,
        producer: EventProducer,
        *,
        secret: bytes,
        rules: Rules,
        notices: Notices,
        retention: timedelta,
    ) -> None:
        self._lists = lists
        self._fetcher = fetcher
        self._producer = producer
        self._secret = secret
        self._rules = rules
        self._notices = notices
        self._retention = retention
        self._log = structlog.get_logger("imagelane.intake")

    async def admit(self, submission: Submission) -> Accepted | None:
        """The accepted list, frozen now or before; None after a refusal, which is then delivered.

        None, too, for a repeated submission whose job was deleted meanwhile.
        """
        job_id = submission.job_id(self._secret)
        fingerprint = fingerprint_of(submission.submitted)
        accepted: Accepted | None = None
        try:
            accepted = await self._admit(submission, job_id, fingerprint)
        except ListRefusedError as refusal:
            known = refusal.failure.code in LEAVES_THE_JOB_ALONE
            own_id = submission.conflict_id(self._secret, fingerprint) if known else job_id
            await self._refuse(submission, own_id, refusal)
        await self._fetcher.forget(submission.submitted)
        return accepted

    async def tell(
        self, header: FrozenHeader, *, cause: Headers | None = None, seconds: float = 0.0
    ) -> None:
        """Delivers `job.accepted`; the same one however often it is told. The rest is for its span."""
        accepted = JobAccepted(
            customer_id=header.customer_id,
            job_id=header.job_id,
            recipe=header.recipe,
            destination=header.destination,
            occurred_at=header.accepted_at,
            idempotency_key=header.idempotency_key,
            deadline=header.deadline,
            notify_url=header.notify_url,
            handed_in_at=header.handed_in_at,
            images=header.images,
        )
        await self._producer.send(accepted, done=Done(ACCEPT, cause, seconds))
        self._log.info(
            "list.accepted",
            customer_id=header.customer_id,
            job_id=header.job_id,
            images=header.images,
        )

    async def _admit(
        self, submission: Submission, job_id: str, fingerprint: str
    ) -> Accepted | None:
        key = list_key(submission.submitted.customer_id, job_id)
        header = await self._lists.header(key)
        is_new = header is None
        if header is None:
            if await self._is_used_up(submission, key):
                return None
            header = await self._freeze(submission, job_id, fingerprint)
        if header.fingerprint != fingerprint:
            raise ListRefusedError(Code.IDEMPOTENCY_CONFLICT, submission.name)
        return Accepted(header, is_new)

    async def _is_used_up(self, submission: Submission, key: str) -> bool:
        """Whether this was a job that has finished. Raises `ListRefusedError` for a new submission."""
        kept = await self._lists.marked(key, Mark.FINISHED)
        if kept is not None:
            finished: JobFinished = decode(FINISHED, kept)
            if submission.handed_in_at > finished.occurred_at:
                raise ListRefusedError(Code.JOB_DELETED, submission.name)
            return True
        if datetime.now(UTC) - submission.handed_in_at > self._retention:
            raise ListRefusedError(Code.SUBMISSION_TOO_OLD, submission.handed_in_at.isoformat())
        return False

    async def _freeze(self, submission: Submission, job_id: str, fingerprint: str) -> FrozenHeader:
        submitted = submission.submitted
        now = datetime.now(UTC)
        check_admissible(submitted, self._rules, now=now)
        images = await self._fetcher.images(submitted)
        header = FrozenHeader(
            customer_id=submitted.customer_id,
            job_id=job_id,
            recipe=submitted.recipe,
            destination=submitted.destination,
            images=images.images,
            fingerprint=fingerprint,
            accepted_at=now,
            idempotency_key=submitted.idempotency_key,
            list_url=submitted.list_url,
            deadline=submitted.deadline,
            notify_url=submitted.notify_url,
            handed_in_at=submission.handed_in_at,
        )
        if await self._lists.freeze(images, header):
            return header
        theirs = await self._lists.header(header.key)
        if theirs is None:
            raise RuntimeError(f"the list of {job_id} was there and is gone: look again")
        return theirs

    async def _refuse(self, submission: Submission, job_id: str, refusal: ListRefusedError) -> None:
        submitted = submission.submitted
        LISTS.labels(refusal.failure.code).inc()
        refused = JobRefused(
            customer_id=submitted.customer_id,
            job_id=job_id,
            failure=refusal.failure,
            occurred_at=datetime.now(UTC),
            idempotency_key=submitted.idempotency_key,
        )
        await self._producer.send(refused, done=Done(REFUSE, code=refusal.failure.code))
        if refusal.failure.code not in IS_NOT_TOLD:
            await self._notices.tell(refused, submitted.notify_url)
        self._log.info(
            "list.refused",
            customer_id=submitted.customer_id,
            job_id=job_id,
            code=refusal.failure.code,
            reason=refusal.failure.reason,
        )
