"""The end of requesting: `job.sealed`, told and kept."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from imagelane.contracts.events import JobSealed
from imagelane.intake.core.frozen import FrozenHeader
from imagelane.intake.core.marks import Mark
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.metrics import SEALED
from imagelane.platform.producer import EventProducer


async def seal(header: FrozenHeader, lists: FrozenLists, producer: EventProducer) -> None:
    """Delivers `job.sealed`, then marks the list, so that whoever dies between the two repeats it."""
    sealed = JobSealed(
        customer_id=header.customer_id,
        job_id=header.job_id,
        recipe=header.recipe,
        destination=header.destination,
        images=header.images,
        occurred_at=datetime.now(UTC),
        deadline=header.deadline,
        handed_in_at=header.handed_in_at,
    )
    await producer.send(sealed)
    await lists.mark(header.key, Mark.SEALED, sealed)
    SEALED.inc()
    structlog.get_logger("imagelane.intake").info(
        "list.sealed",
        customer_id=header.customer_id,
        job_id=header.job_id,
        images=header.images,
    )
