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
    Group,
    HandedInAt,
    HttpUrl,
    IdempotencyKey,
    ImageCount,
    ImageUrl,
    Index,
    Instant,
    JobId,
    NotifyUrl,
    OccurredAt,
    Position,
    Reason,
    RecipeName,
    Reference,
    Seconds,
    Seq,
    Sha256,
    Text255,
)
from imagelane.contracts.parts import (
    AttemptsOfImages,
    CallPlan,
    Failure,
    ImageSet,
    JobOutcome,
    LaneDecision,
    ListedImage,
    Original,
    Output,
    PartitionCounts,
    ReadyImages,
    RecordedTopic,
    SettledImages,
)

MAX_URL_CHARS = fields.MAX_URL_CHARS
MAX_INLINE_URLS = fields.MAX_INLINE_URLS
MAX_INLINE_BYTES = 900_000
MAX_LIST_LINES = 100_000


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What all events share: a `type` with the version in it, written first on the line."""


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
    upload_sha256: (
        Annotated[
            Sha256,
            Meta(
                description="Of a list that was uploaded to the gateway, which alone sets this, always with an"
                " `idempotency_key`. It lies in the private store, under a name that nobody else can make."
            ),
        ]
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
    handed_in_at: HandedInAt | UnsetType = UNSET
    images: ImageCount | UnsetType = UNSET


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
    deadline: Deadline | UnsetType = UNSET
    handed_in_at: HandedInAt | UnsetType = UNSET


class JobFinished(Event, frozen=True, kw_only=True, tag="job.finished.v1"):
    """Every image of the job has its outcome; delivered + failed + cancelled = images. Told once."""

    customer_id: CustomerId
    job_id: JobId
    images: ImageCount
    delivered: Annotated[Count, Meta(description="Images in completed calls.")]
    failed: Annotated[Count, Meta(description="Images with a recorded failure.")]
    cancelled: Annotated[Count, Meta(description="Images cancelled before their call.")]
    occurred_at: OccurredAt
    cut_short_by: (
        Annotated[
            Literal["cancel", "delete", "deadline"],
            Meta(description="Why images may be cancelled; absent where the job ran its course."),
        ]
        | UnsetType
    ) = UNSET
    idempotency_key: (
        Annotated[
            IdempotencyKey,
            Meta(description="The submitter's own name of the job; told to its `notify_url` only."),
        ]
        | UnsetType
    ) = UNSET


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


class BatchRequested(Event, frozen=True, kw_only=True, tag="batch.requested.v1"):
    """The batcher asks for the customer's next call. The same `seq` always names the same images."""

    customer_id: CustomerId
    seq: CallSeq
    jobs: Annotated[
        list[ReadyImages], Meta(min_length=1, description="The images for it, oldest job first.")
    ]
    occurred_at: OccurredAt


class ImagesSettled(Event, frozen=True, kw_only=True, tag="images.settled.v1"):
    """The batcher reports images that will be in no call: they failed on the road, or were cancelled."""

    customer_id: CustomerId
    jobs: Annotated[list[SettledImages], Meta(min_length=1, description="The images, job by job.")]
    occurred_at: OccurredAt


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
    decision: LaneDecision | UnsetType = UNSET


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


class LaneTicked(Event, frozen=True, kw_only=True, tag="lane.ticked.v1"):
    """The batcher's own alarm clock for a lane. Harmless when late, doubled or foreign."""

    customer_id: CustomerId
    occurred_at: OccurredAt


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
    held_since: (
        Annotated[Instant, Meta(description="Since when the lane stands still.")] | UnsetType
    ) = UNSET
    decision: LaneDecision | UnsetType = UNSET
    usual_seconds: (
        Annotated[float, Meta(ge=0, description="What the customer's calls have usually taken.")]
        | UnsetType
    ) = UNSET
    usual_images: (
        Annotated[float, Meta(ge=0, description="How many images those calls had.")] | UnsetType
    ) = UNSET
    overdue_since: (
        Annotated[Instant, Meta(description="Since when the call takes far longer than usual.")]
        | UnsetType
    ) = UNSET
    last_answer: CallCompleted | UnsetType = UNSET


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
    spread_partitions: (
        Annotated[int, Meta(ge=1, description="The setting of this name.")] | UnsetType
    ) = UNSET
    topics: (
        Annotated[list[RecordedTopic], Meta(description="Every topic as it was made.")] | UnsetType
    ) = UNSET
    growing_to: (
        Annotated[
            PartitionCounts,
            Meta(description="A migration to these is under way: until it ends no service runs."),
        ]
        | UnsetType
    ) = UNSET
