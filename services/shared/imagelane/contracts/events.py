"""Every event that travels between the services, as frozen structs.

The schemas in `schemas/events` are the source of truth; a contract test proves these structs equal to them.
Within a version an event may only gain optional fields; anything else is a new version with a new tag.
Times are RFC 3339 with an offset, sizes are bytes, an image's `index` is its line in the accepted list, from 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from imagelane.contracts import fields
from imagelane.contracts.fields import (
    CallId,
    CallSeq,
    Count,
    CustomerId,
    Deadline,
    DestinationName,
    FailureCode,
    Group,
    HttpUrl,
    IdempotencyKey,
    ImageCount,
    ImageUrl,
    Index,
    Instant,
    JobId,
    Name,
    NotifyUrl,
    OccurredAt,
    Position,
    Reason,
    RecipeName,
    Reference,
    Seconds,
    Seq,
    Sha256,
    SizeBytes,
    Text255,
)

MAX_URL_CHARS = fields.MAX_URL_CHARS
MAX_INLINE_URLS = fields.MAX_INLINE_URLS
MAX_INLINE_BYTES = 900_000
MAX_LIST_LINES = 100_000


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What all events share: a `type` with the version in it, written first on the line."""


class ImageSet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job, as a portable Roaring bitmap of their indexes in base64, readable beside it."""

    count: ImageCount
    bitmap: Annotated[str, Meta(description="Base64 of a portable Roaring bitmap.")]
    ranges: (
        Annotated[str, Meta(description="The same as text, when short: `0-99,103`.")] | UnsetType
    ) = UNSET


class Failure(Struct, frozen=True, kw_only=True):
    """Why an image, or a list, ended without a result. Safe to show to the customer."""

    code: FailureCode
    reason: Reason


class ListedImage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a list that says more than its URL."""

    url: Annotated[str, Meta(description="The image's address.")]
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class ListSubmitted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The public entrance: a list, inline (`urls`) or by reference (`list_url`), one of the two.

    Has no required `type`, so that a hand-written line of JSON is enough.
    """

    customer_id: CustomerId
    urls: (
        Annotated[
            list[str | ListedImage],
            Meta(
                min_length=1,
                extra_json_schema={"maxItems": MAX_INLINE_URLS},  # intake refuses more, in words
                description="The images, each as its URL or as an object; at most 900,000 bytes.",
            ),
        ]
        | UnsetType
    ) = UNSET
    list_url: (
        Annotated[HttpUrl, Meta(description="Where the list lies. Read once, then frozen.")]
        | UnsetType
    ) = UNSET
    list_format: (
        Annotated[
            Literal["text", "json", "csv"],
            Meta(description="Text is one URL a line. Gzip is seen by itself."),
        ]
        | UnsetType
    ) = UNSET
    list_column: (
        Annotated[Text255, Meta(description="For csv: the name of the column with the URLs.")]
        | UnsetType
    ) = UNSET
    idempotency_key: IdempotencyKey | UnsetType = UNSET
    recipe: RecipeName = "default"
    destination: DestinationName = "default"
    deadline: Deadline | UnsetType = UNSET
    notify_url: NotifyUrl | UnsetType = UNSET
    type: Annotated[
        Literal["list.submitted.v1"], Meta(description="The event's type; may be left out.")
    ] = "list.submitted.v1"


class JobAccepted(Event, frozen=True, kw_only=True, tag="job.accepted.v1"):
    """A list was read, frozen in the object store, and its images follow."""

    customer_id: CustomerId
    job_id: JobId
    recipe: RecipeName
    destination: DestinationName
    occurred_at: OccurredAt
    idempotency_key: IdempotencyKey | UnsetType = UNSET
    deadline: Deadline | UnsetType = UNSET
    notify_url: NotifyUrl | UnsetType = UNSET


class JobRefused(Event, frozen=True, kw_only=True, tag="job.refused.v1"):
    """A list that will not become a job, and why. Nothing of it was requested."""

    customer_id: CustomerId
    job_id: JobId
    failure: Failure
    occurred_at: OccurredAt
    idempotency_key: IdempotencyKey | UnsetType = UNSET


class JobSealed(Event, frozen=True, kw_only=True, tag="job.sealed.v1"):
    """Every image of the list has been requested; there are `images` of them."""

    customer_id: CustomerId
    job_id: JobId
    recipe: RecipeName
    destination: DestinationName
    images: ImageCount
    occurred_at: OccurredAt


class JobFinished(Event, frozen=True, kw_only=True, tag="job.finished.v1"):
    """Every image of the job has its outcome; delivered + failed + cancelled = images. Told once."""

    customer_id: CustomerId
    job_id: JobId
    images: ImageCount
    delivered: Annotated[Count, Meta(description="Images in completed calls.")]
    failed: Annotated[Count, Meta(description="Images with a recorded failure.")]
    cancelled: Annotated[Count, Meta(description="Images cancelled before their call.")]
    occurred_at: OccurredAt


class ImageRequested(Event, frozen=True, kw_only=True, tag="image.requested.v1"):
    """Fetch this image. `defect` names what is wrong with a line that is no URL at all."""

    customer_id: CustomerId
    job_id: JobId
    index: Index
    url: ImageUrl
    recipe: RecipeName
    destination: DestinationName
    occurred_at: OccurredAt
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    defect: Failure | UnsetType = UNSET
    round: Annotated[int, Meta(ge=0, description="How often the sweep has asked again.")] = 0


class Original(Struct, frozen=True, kw_only=True):
    """A downloaded original in the private part of the object store."""

    key: Annotated[str, Meta(description="Its key in the store.")]
    size_bytes: SizeBytes
    sha256: Sha256


class ImageDownloaded(Event, frozen=True, kw_only=True, tag="image.downloaded.v1"):
    """The image's original is stored (`original`), or it never will be (`failure`)."""

    customer_id: CustomerId
    job_id: JobId
    index: Index
    url: ImageUrl
    recipe: RecipeName
    destination: DestinationName
    status: Annotated[
        Literal["ok", "failed"], Meta(description="Which of the two fields below is there.")
    ]
    occurred_at: OccurredAt
    seconds: Seconds
    original: Original | UnsetType = UNSET
    failure: Failure | UnsetType = UNSET
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class Output(Struct, frozen=True, kw_only=True):
    """One named result of an image, publicly readable at `url`."""

    name: Annotated[Name, Meta(description="The output's name in the recipe.")]
    url: Annotated[str, Meta(description="Its public address.")]
    content_type: Annotated[str, Meta(description="Its media type.")]
    width: Annotated[int, Meta(ge=1, description="In pixels.")]
    height: Annotated[int, Meta(ge=1, description="In pixels.")]
    size_bytes: SizeBytes


class ImageProcessed(Event, frozen=True, kw_only=True, tag="image.processed.v1"):
    """The image's results are publicly readable (`outputs`), or it has failed for good (`failure`)."""

    customer_id: CustomerId
    job_id: JobId
    index: Index
    url: ImageUrl
    recipe: RecipeName
    destination: DestinationName
    status: Annotated[
        Literal["ok", "failed"], Meta(description="Which of the two fields below is there.")
    ]
    occurred_at: OccurredAt
    seconds: Seconds
    outputs: (
        Annotated[list[Output], Meta(description="One for each output of the recipe.")] | UnsetType
    ) = UNSET
    failure: Failure | UnsetType = UNSET
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class ReadyImages(Struct, frozen=True, kw_only=True):
    """Images of one job that are ready; with the recipe and destination that give their URLs."""

    job_id: JobId
    recipe: RecipeName
    destination: DestinationName
    images: ImageSet


class BatchRequested(Event, frozen=True, kw_only=True, tag="batch.requested.v1"):
    """The batcher asks for the customer's next call. The same `seq` always names the same images."""

    customer_id: CustomerId
    seq: CallSeq
    jobs: Annotated[
        list[ReadyImages], Meta(min_length=1, description="The images for it, oldest job first.")
    ]
    occurred_at: OccurredAt


class SettledImages(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job that have an outcome without a call."""

    job_id: JobId
    failed: ImageSet | UnsetType = UNSET
    cancelled: ImageSet | UnsetType = UNSET


class ImagesSettled(Event, frozen=True, kw_only=True, tag="images.settled.v1"):
    """The batcher reports images that will be in no call: they failed on the road, or were cancelled."""

    customer_id: CustomerId
    jobs: Annotated[list[SettledImages], Meta(min_length=1, description="The images, job by job.")]
    occurred_at: OccurredAt


class JobOutcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of images of one job. `returned` ones are undecided and may be asked for again."""

    job_id: JobId
    delivered: ImageSet | UnsetType = UNSET
    failed: ImageSet | UnsetType = UNSET
    cancelled: ImageSet | UnsetType = UNSET
    returned: ImageSet | UnsetType = UNSET


class CallCompleted(Event, frozen=True, kw_only=True, tag="call.completed.v1"):
    """What the call `seq` did. Told again after a restart; folding it twice changes nothing."""

    customer_id: CustomerId
    seq: CallSeq
    last_seq: Seq
    status: Annotated[
        Literal["completed", "partial", "failed", "refused", "empty"],
        Meta(description="How the call ended; `empty`: there was nothing left to send."),
    ]
    images: ImageCount
    jobs: Annotated[list[JobOutcome], Meta(description="What became of its images, job by job.")]
    occurred_at: OccurredAt
    call_id: CallId | UnsetType = UNSET
    started_at: Annotated[Instant, Meta(description="When the API took it.")] | UnsetType = UNSET
    max_images: (
        Annotated[int, Meta(ge=1, description="The API takes no more than these in a call.")]
        | UnsetType
    ) = UNSET


class LaneTold(Event, frozen=True, kw_only=True, tag="lane.told.v1"):
    """The truth about a lane, for a batcher that asked for a seq that is not next, or settled images.

    One record per job: `job` holds the whole outcome of that job so far.
    Several records may answer one request; the last of them carries `answers`.
    """

    customer_id: CustomerId
    last_seq: Seq
    busy: Annotated[bool, Meta(description="The call `last_seq` is not resolved yet.")]
    occurred_at: OccurredAt
    job: JobOutcome | UnsetType = UNSET
    answers: (
        Annotated[CallSeq, Meta(description="The request that this closing record answers.")]
        | UnsetType
    ) = UNSET


class ImagesMissing(Event, frozen=True, kw_only=True, tag="images.missing.v1"):
    """The sweep: images of a sealed job of which nothing was heard. Intake requests them again."""

    customer_id: CustomerId
    job_id: JobId
    images: ImageSet
    round: Annotated[int, Meta(ge=1, description="Which sweep of the job this is.")]
    occurred_at: OccurredAt


class CallHinted(Event, frozen=True, kw_only=True, tag="call.hinted.v1"):
    """A webhook said that something happened to a call: reason enough to look at it, and no more."""

    customer_id: CustomerId
    call_id: Annotated[Text255, Meta(description="The call as the webhook names it.")]
    occurred_at: OccurredAt
    reference: Reference | UnsetType = UNSET


class CancelJob(Event, frozen=True, kw_only=True, tag="cancel.job.v1"):
    """A person's decision: images of the job that are in no call yet will be in none."""

    customer_id: CustomerId
    job_id: JobId
    decided_by: Annotated[Text255, Meta(description="Who decided.")]
    occurred_at: OccurredAt


class LaneTicked(Event, frozen=True, kw_only=True, tag="lane.ticked.v1"):
    """The batcher's own alarm clock for a lane. Harmless when late, doubled or foreign."""

    customer_id: CustomerId
    occurred_at: OccurredAt


class PlannedImages(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job in a plan, frozen, in the order of the request's body."""

    job_id: JobId
    recipe: RecipeName
    destination: DestinationName
    images: ImageSet


class CallPlan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call as it was frozen before its first byte was sent."""

    seq: CallSeq
    jobs: Annotated[list[PlannedImages], Meta(description="Its images, job by job.")]
    images: ImageCount
    reference: Reference
    body_sha256: Annotated[Sha256, Meta(description="Of the whole request body, in hexadecimal.")]
    planned_at: Annotated[Instant, Meta(description="When it was frozen.")]
    callback_url: (
        Annotated[str, Meta(description="Where the API shall send its webhook.")] | UnsetType
    ) = UNSET


class LaneRecorded(Event, frozen=True, kw_only=True, tag="lane.recorded.v1"):
    """The dispatcher's log, one per customer: where the lane stands."""

    customer_id: CustomerId
    state: Annotated[
        Literal["idle", "planned", "submitting", "active", "held"],
        Meta(
            description="`planned` before the first attempt, `submitting` while one is under way."
        ),
    ]
    last_seq: Seq
    occurred_at: OccurredAt
    plan: CallPlan | UnsetType = UNSET
    call_id: CallId | UnsetType = UNSET
    attempts: Annotated[Count, Meta(description="How often the plan's bytes were sent.")] = 0
    ambiguous: Annotated[bool, Meta(description="An attempt ended without a definite answer.")] = (
        False
    )
    first_attempt_at: (
        Annotated[Instant, Meta(description="When the plan's bytes were first sent.")] | UnsetType
    ) = UNSET
    active_since: (
        Annotated[Instant, Meta(description="Since when the call is known to run.")] | UnsetType
    ) = UNSET
    hold_reason: (
        Annotated[Reason, Meta(description="Why nothing is sent until a person decides.")]
        | UnsetType
    ) = UNSET
    last_answer: CallCompleted | UnsetType = UNSET


class AttemptsOfImages(Struct, frozen=True, kw_only=True):
    """Images of a job that were sent `attempts` times and came back failed."""

    attempts: Annotated[int, Meta(ge=1, description="How often they were sent.")]
    images: ImageSet


class JobRecorded(Event, frozen=True, kw_only=True, tag="job.recorded.v1"):
    """The dispatcher's log, one per job: the outcome of every image so far."""

    customer_id: CustomerId
    job_id: JobId
    occurred_at: OccurredAt
    delivered: ImageSet | UnsetType = UNSET
    failed: ImageSet | UnsetType = UNSET
    cancelled: ImageSet | UnsetType = UNSET
    resent: (
        Annotated[list[AttemptsOfImages], Meta(description="Images sent more than once, so far.")]
        | UnsetType
    ) = UNSET


class TopologyRecorded(Event, frozen=True, kw_only=True, tag="topology.recorded.v1"):
    """How many partitions the strict topics have, and whose deployment this is. Compared, never guessed."""

    deployment_id: Annotated[Text255, Meta(description="The setting of this name.")]
    strict_partitions: Annotated[int, Meta(ge=1, description="The setting of this name.")]
    partitioner: Annotated[Literal["murmur2"], Meta(description="What maps a key to a partition.")]
    occurred_at: OccurredAt
