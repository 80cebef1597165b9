"""What people decide: the events of `commands`, kept long, for they are the audit of it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from imagelane.contracts.events import Event
from imagelane.contracts.fields import CallSeq, CustomerId, JobId, OccurredAt, Reason, Text255

DecidedBy = Annotated[Text255, Meta(description="Who decided.")]


class CancelJob(Event, frozen=True, kw_only=True, tag="cancel.job.v1"):
    """A person's decision: images of the job that are in no call yet will be in none."""

    customer_id: CustomerId
    job_id: JobId
    decided_by: DecidedBy
    occurred_at: OccurredAt


class DeleteJob(Event, frozen=True, kw_only=True, tag="delete.job.v1"):
    """Cancels the job, and removes its list, originals and results once its running call has ended."""

    customer_id: CustomerId
    job_id: JobId
    decided_by: DecidedBy
    occurred_at: OccurredAt


class CancelCustomer(Event, frozen=True, kw_only=True, tag="cancel.customer.v1"):
    """Cancels every job of the customer that was handed in before; later ones run."""

    customer_id: CustomerId
    decided_by: DecidedBy
    occurred_at: OccurredAt


class DeleteCustomer(Event, frozen=True, kw_only=True, tag="delete.customer.v1"):
    """Deletes every job of the customer that was handed in before, as `delete.job` does one."""

    customer_id: CustomerId
    decided_by: DecidedBy
    occurred_at: OccurredAt


class ReleaseLane(Event, frozen=True, kw_only=True, tag="release.lane.v1"):
    """A person's decision about a held lane. It holds for the call `seq` only, and only while that is held."""

    customer_id: CustomerId
    seq: CallSeq
    decision: Annotated[
        Literal["retry", "treat_as_done", "treat_as_failed"],
        Meta(
            description="`retry` sends the same call under the same key; the other two say what became of"
            " its images without asking the API again."
        ),
    ]
    decided_by: DecidedBy
    occurred_at: OccurredAt
    note: Reason | UnsetType = UNSET
