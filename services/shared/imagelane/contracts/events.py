"""Every event that travels between the services, as frozen structs.

The schemas in `schemas/events` are the source of truth; a contract test proves these structs equal to them.
Within a version an event may only gain optional fields; anything else is a new version with a new tag.
Times are RFC 3339 with an offset, sizes are bytes, an image's `index` is its line in the accepted list, from 0.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_URL_CHARS = 2_048
MAX_INLINE_URLS = 10_000
MAX_INLINE_BYTES = 900_000
MAX_LIST_LINES = 100_000

CustomerId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^[^\u0000-\u001f\u007f]+$",
        description="Who handed in the list. Also the key of every record.",
    ),
]
JobId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z2-7]{32}$",
        description="HMAC of customer and idempotency key: the same submission is the same job.",
    ),
]
Index = Annotated[
    int, Meta(ge=0, le=2**31 - 1, description="The image's line in the accepted list, from 0.")
]
Count = Annotated[int, Meta(ge=0)]
Seq = Annotated[int, Meta(ge=0, description="A customer's calls are numbered from 1; 0 is none.")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Instant = Annotated[datetime, Meta(tz=True)]
Reason = Annotated[str, Meta(max_length=2_000)]
Group = Annotated[str, Meta(min_length=1, max_length=255)]
Position = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Text255 = Annotated[str, Meta(min_length=1, max_length=255)]
HttpUrl = Annotated[str, Meta(pattern=r"^https?://", max_length=MAX_URL_CHARS)]


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What all events share: a `type` with the version in it, written first on the line."""


class ImageSet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job, as a portable Roaring bitmap of their indexes in base64, readable beside it."""

    count: Count
    bitmap: Annotated[str, Meta(description="Base64 of a portable Roaring bitmap.")]
    ranges: (
        Annotated[str, Meta(description="The same as text, when short: `0-99,103`.")] | UnsetType
    ) = UNSET


class Failure(Struct, frozen=True, kw_only=True):
    """Why an image, or a list, ended without a result. Safe to show to the customer."""

    code: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    reason: Reason


class ListedImage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a list that says more than its URL."""

    url: str
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class ListSubmitted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The public entrance: a list, inline (`urls`) or by reference (`list_url`), one of the two.

    Has no required `type`, so that a hand-written line of JSON is enough.
    """

    customer_id: CustomerId
    urls: Annotated[list[str | ListedImage], Meta(min_length=1)] | UnsetType = UNSET
    list_url: HttpUrl | UnsetType = UNSET
    list_format: Literal["text", "json", "csv"] | UnsetType = UNSET
    list_column: Text255 | UnsetType = UNSET
    idempotency_key: Text255 | UnsetType = UNSET
    recipe: Name = "default"
    destination: Name = "default"
    deadline: Instant | UnsetType = UNSET
    notify_url: HttpUrl | UnsetType = UNSET
    type: Literal["list.submitted.v1"] = "list.submitted.v1"


class JobAccepted(Event, frozen=True, kw_only=True, tag="job.accepted.v1"):
    """A list was read, frozen in the object store, and its images follow."""

    customer_id: CustomerId
    job_id: JobId
    recipe: Name
    destination: Name
    occurred_at: Instant
    idempotency_key: Text255 | UnsetType = UNSET
    deadline: Instant | UnsetType = UNSET
    notify_url: HttpUrl | UnsetType = UNSET


class JobRefused(Event, frozen=True, kw_only=True, tag="job.refused.v1"):
    """A list that will not become a job, and why. Nothing of it was requested."""

    customer_id: CustomerId
    job_id: JobId
    failure: Failure
    occurred_at: Instant
    idempotency_key: Text255 | UnsetType = UNSET


class JobSealed(Event, frozen=True, kw_only=True, tag="job.sealed.v1"):
    """Every image of the list has been requested; there are `images` of them."""

    customer_id: CustomerId
    job_id: JobId
    recipe: Name
    destination: Name
    images: Count
    occurred_at: Instant


class JobFinished(Event, frozen=True, kw_only=True, tag="job.finished.v1"):
    """Every image of the job has its outcome; delivered + failed + cancelled = images. Told once."""

    customer_id: CustomerId
    job_id: JobId
    images: Count
    delivered: Count
    failed: Count
    cancelled: Count
    occurred_at: Instant


class ImageRequested(Event, frozen=True, kw_only=True, tag="image.requested.v1"):
    """Fetch this image. `defect` names what is wrong with a line that is no URL at all."""

    customer_id: CustomerId
    job_id: JobId
    index: Index
    url: Annotated[str, Meta(max_length=MAX_URL_CHARS)]
    recipe: Name
    destination: Name
    occurred_at: Instant
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    defect: Failure | UnsetType = UNSET
    round: Annotated[int, Meta(ge=0, description="How often the sweep has asked again.")] = 0


class Original(Struct, frozen=True, kw_only=True):
    """A downloaded original in the private part of the object store."""

    key: str
    size_bytes: Count
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class ImageDownloaded(Event, frozen=True, kw_only=True, tag="image.downloaded.v1"):
    """The image's original is stored (`original`), or it never will be (`failure`)."""

    customer_id: CustomerId
    job_id: JobId
    index: Index
    url: Annotated[str, Meta(max_length=MAX_URL_CHARS)]
    recipe: Name
    destination: Name
    status: Literal["ok", "failed"]
    occurred_at: Instant
    seconds: Annotated[float, Meta(ge=0, description="How long the step took.")]
    original: Original | UnsetType = UNSET
    failure: Failure | UnsetType = UNSET
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class Output(Struct, frozen=True, kw_only=True):
    """One named result of an image, publicly readable at `url`."""

    name: Name
    url: str
    content_type: str
    width: Annotated[int, Meta(ge=1)]
    height: Annotated[int, Meta(ge=1)]
    size_bytes: Count


class ImageProcessed(Event, frozen=True, kw_only=True, tag="image.processed.v1"):
    """The image's results are publicly readable (`outputs`), or it has failed for good (`failure`)."""

    customer_id: CustomerId
    job_id: JobId
    index: Index
    url: Annotated[str, Meta(max_length=MAX_URL_CHARS)]
    recipe: Name
    destination: Name
    status: Literal["ok", "failed"]
    occurred_at: Instant
    seconds: Annotated[float, Meta(ge=0, description="How long the step took.")]
    outputs: list[Output] | UnsetType = UNSET
    failure: Failure | UnsetType = UNSET
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class ReadyImages(Struct, frozen=True, kw_only=True):
    """Images of one job that are ready; with the recipe and destination that give their URLs."""

    job_id: JobId
    recipe: Name
    destination: Name
    images: ImageSet


class BatchRequested(Event, frozen=True, kw_only=True, tag="batch.requested.v1"):
    """The batcher asks for the customer's next call. The same `seq` always names the same images."""

    customer_id: CustomerId
    seq: Annotated[int, Meta(ge=1)]
    jobs: Annotated[list[ReadyImages], Meta(min_length=1)]
    occurred_at: Instant


class SettledImages(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job that have an outcome without a call."""

    job_id: JobId
    failed: ImageSet | UnsetType = UNSET
    cancelled: ImageSet | UnsetType = UNSET


class ImagesSettled(Event, frozen=True, kw_only=True, tag="images.settled.v1"):
    """The batcher reports images that will be in no call: they failed on the road, or were cancelled."""

    customer_id: CustomerId
    jobs: Annotated[list[SettledImages], Meta(min_length=1)]
    occurred_at: Instant


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
    seq: Annotated[int, Meta(ge=1)]
    last_seq: Seq
    status: Literal["completed", "partial", "failed", "refused", "empty"]
    images: Count
    jobs: list[JobOutcome]
    occurred_at: Instant
    call_id: str | UnsetType = UNSET
    started_at: Instant | UnsetType = UNSET
    max_images: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class LaneTold(Event, frozen=True, kw_only=True, tag="lane.told.v1"):
    """The truth about a lane, for a batcher that asked for a seq that is not next, or settled images.

    One record per job: `job` holds the whole outcome of that job so far.
    `busy` says that the call `last_seq` is not resolved yet.
    """

    customer_id: CustomerId
    last_seq: Seq
    busy: bool
    occurred_at: Instant
    job: JobOutcome | UnsetType = UNSET


class ImagesMissing(Event, frozen=True, kw_only=True, tag="images.missing.v1"):
    """The sweep: images of a sealed job of which nothing was heard. Intake requests them again."""

    customer_id: CustomerId
    job_id: JobId
    images: ImageSet
    round: Annotated[int, Meta(ge=1)]
    occurred_at: Instant


class CallHinted(Event, frozen=True, kw_only=True, tag="call.hinted.v1"):
    """A webhook said that something happened to a call: reason enough to look at it, and no more."""

    customer_id: CustomerId
    call_id: Text255
    occurred_at: Instant
    reference: Text255 | UnsetType = UNSET


class CancelJob(Event, frozen=True, kw_only=True, tag="cancel.job.v1"):
    """A person's decision: images of the job that are in no call yet will be in none."""

    customer_id: CustomerId
    job_id: JobId
    decided_by: Text255
    occurred_at: Instant


class LaneTicked(Event, frozen=True, kw_only=True, tag="lane.ticked.v1"):
    """The batcher's own alarm clock for a lane. Harmless when late, doubled or foreign."""

    customer_id: CustomerId
    occurred_at: Instant


class PlannedImages(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job in a plan, frozen, in the order of the request's body."""

    job_id: JobId
    recipe: Name
    destination: Name
    images: ImageSet


class CallPlan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call as it was frozen before its first byte was sent."""

    seq: Annotated[int, Meta(ge=1)]
    jobs: list[PlannedImages]
    images: Count
    reference: Text255
    body_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    planned_at: Instant
    callback_url: str | UnsetType = UNSET


class LaneRecorded(Event, frozen=True, kw_only=True, tag="lane.recorded.v1"):
    """The dispatcher's log, one per customer: where the lane stands."""

    customer_id: CustomerId
    state: Literal["idle", "planned", "submitting", "active", "held"]
    last_seq: Seq
    occurred_at: Instant
    plan: CallPlan | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    attempts: Count = 0
    ambiguous: bool = False
    first_attempt_at: Instant | UnsetType = UNSET
    active_since: Instant | UnsetType = UNSET
    hold_reason: Reason | UnsetType = UNSET
    last_answer: CallCompleted | UnsetType = UNSET


class AttemptsOfImages(Struct, frozen=True, kw_only=True):
    """Images of a job that were sent `attempts` times and came back failed."""

    attempts: Annotated[int, Meta(ge=1)]
    images: ImageSet


class JobRecorded(Event, frozen=True, kw_only=True, tag="job.recorded.v1"):
    """The dispatcher's log, one per job: the outcome of every image so far."""

    customer_id: CustomerId
    job_id: JobId
    occurred_at: Instant
    delivered: ImageSet | UnsetType = UNSET
    failed: ImageSet | UnsetType = UNSET
    cancelled: ImageSet | UnsetType = UNSET
    resent: list[AttemptsOfImages] | UnsetType = UNSET


class TopologyRecorded(Event, frozen=True, kw_only=True, tag="topology.recorded.v1"):
    """How many partitions the strict topics have, and whose deployment this is. Compared, never guessed."""

    deployment_id: Text255
    strict_partitions: Annotated[int, Meta(ge=1)]
    partitioner: Literal["murmur2"]
    occurred_at: Instant
