"""From a submission to an accepted list, or to a refusal. Nothing is requested before it is accepted."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from imagelane.contracts.events import JobAccepted, JobRefused
from imagelane.core.failures import Code
from imagelane.intake.core.frozen import FrozenHeader, fingerprint_of
from imagelane.intake.core.refusals import ListRefusedError, check_admissible
from imagelane.intake.core.submissions import Submission
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.list_fetch import ListFetcher
from imagelane.platform.producer import EventProducer


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
        destinations: Container[str],
    ) -> None:
        self._lists = lists
        self._fetcher = fetcher
        self._producer = producer
        self._secret = secret
        self._destinations = destinations
        self._log = structlog.get_logger("imagelane.intake")

    async def admit(self, submission: Submission) -> Accepted | None:
        """The accepted list, frozen now or before; None after a refusal, which is then delivered."""
        job_id = submission.job_id(self._secret)
        fingerprint = fingerprint_of(submission.submitted)
        header = await self._lists.header(job_id)
        is_new = header is None
        try:
            header = header or await self._freeze(submission, job_id, fingerprint)
        except ListRefusedError as refusal:
            await self._refuse(submission, job_id, refusal)
            return None
        if header.fingerprint != fingerprint:
            conflict = ListRefusedError(Code.IDEMPOTENCY_CONFLICT, submission.name)
            conflict_id = submission.conflict_id(self._secret, fingerprint)
            await self._refuse(submission, conflict_id, conflict)
            return None
        return Accepted(header, is_new)

    async def tell(self, header: FrozenHeader) -> None:
        """Delivers `job.accepted`; the same one however often it is told."""
        await self._producer.send(
            JobAccepted(
                customer_id=header.customer_id,
                job_id=header.job_id,
                recipe=header.recipe,
                destination=header.destination,
                occurred_at=header.accepted_at,
                idempotency_key=header.idempotency_key,
                deadline=header.deadline,
                notify_url=header.notify_url,
            )
        )
        self._log.info(
            "list.accepted",
            customer_id=header.customer_id,
            job_id=header.job_id,
            images=header.images,
        )

    async def _freeze(self, submission: Submission, job_id: str, fingerprint: str) -> FrozenHeader:
        submitted = submission.submitted
        now = datetime.now(UTC)
        check_admissible(submitted, destinations=self._destinations, now=now)
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
        )
        if await self._lists.freeze(images, header):
            return header
        theirs = await self._lists.header(job_id)
        if theirs is None:
            raise RuntimeError(f"the list of {job_id} was there and is gone: who deletes lists?")
        return theirs

    async def _refuse(self, submission: Submission, job_id: str, refusal: ListRefusedError) -> None:
        submitted = submission.submitted
        await self._producer.send(
            JobRefused(
                customer_id=submitted.customer_id,
                job_id=job_id,
                failure=refusal.failure,
                occurred_at=datetime.now(UTC),
                idempotency_key=submitted.idempotency_key,
            )
        )
        self._log.info(
            "list.refused",
            customer_id=submitted.customer_id,
            job_id=job_id,
            code=refusal.failure.code,
            reason=refusal.failure.reason,
        )
