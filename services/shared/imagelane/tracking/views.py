"""The answers that the tracker's database gives. Times have an offset (UTC), sizes are bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Generic, Literal, TypeVar

from msgspec import Struct

from imagelane.contracts.notices import NoticeState
from imagelane.contracts.parts import Failure
from imagelane.tracking.server_views import ServerStatus

View = TypeVar("View")

JobState = Literal["accepted", "running", "finished", "refused"]
"""`accepted`: its images are being requested. `running`: all of them are, and the job is sealed."""
ImageState = Literal[
    "requested", "downloaded", "processed", "in_call", "delivered", "failed", "cancelled"
]
"""The last three are final, and the dispatcher's word. Before them it is the last step that was passed,
whatever came of it: an image that could not be downloaded is `processed` (with a code) until the
dispatcher has recorded that it failed."""
IMAGE_STATES: Final[tuple[ImageState, ...]] = (
    "requested",
    "downloaded",
    "processed",
    "in_call",
    "delivered",
    "failed",
    "cancelled",
)
LaneState = Literal["idle", "planned", "submitting", "active", "held"]
CallState = Literal[
    "requested",  # the batcher has asked for it
    "planned",
    "submitting",
    "active",
    "held",
    "completed",
    "partial",
    "failed",
    "refused",
    "empty",
    "ended",  # how is not known any more: the lane went on, and the answer was not kept
]


class Page(Struct, Generic[View], frozen=True, kw_only=True):
    """Part of a list. `next_cursor` is for the next call, and None on the last page."""

    items: list[View]
    next_cursor: str | None = None


class Counts(Struct, frozen=True, kw_only=True):
    """Images of a job. What is counted never goes back.

    `downloaded` and `processed` have passed that step, whatever came of it; `delivered`, `failed` and
    `cancelled` are what the dispatcher has recorded. Only `ready` shrinks: images that have results and no
    outcome yet, which wait for a call or are in one.
    """

    requested: int = 0
    downloaded: int = 0
    processed: int = 0
    delivered: int = 0
    failed: int = 0
    cancelled: int = 0
    ready: int = 0


class NoticeStatus(Struct, frozen=True, kw_only=True):
    """How far the answer to a job's `notify_url` has come. `at` is when it did: begun, posted last, or over.

    `last_result` is the class of the last attempt's status (`2xx`, `5xx` …), or why there was none.
    """

    state: NoticeState
    attempts: int
    at: datetime
    last_result: str | None = None
    next_at: datetime | None = None


class JobStatus(Struct, frozen=True, kw_only=True):
    """Where a job stands. `images` is how many it has, None until it is accepted.

    `change` grows whenever anything of a job does: `Queries.progress` goes on from it.
    """

    job_id: str
    customer_id: str
    status: JobState
    recipe: str | None
    destination: str | None
    images: int | None
    counts: Counts
    change: int
    accepted_at: datetime | None = None
    handed_in_at: datetime | None = None
    sealed_at: datetime | None = None
    finished_at: datetime | None = None
    refused_at: datetime | None = None
    refusal: Failure | None = None
    deadline: datetime | None = None
    idempotency_key: str | None = None
    notify_url: str | None = None
    cut_short_by: Literal["cancel", "delete", "deadline"] | None = None
    cancel_asked_at: datetime | None = None
    delete_asked_at: datetime | None = None
    notice: NoticeStatus | None = None


class ImageOutput(Struct, frozen=True, kw_only=True):
    """One result of an image, for whoever has its `url`; of a closed destination, as long as its signature lasts."""

    name: str
    url: str
    content_type: str | None
    width: int
    height: int
    size_bytes: int


class ImageStatus(Struct, frozen=True, kw_only=True):
    """Where an image stands. Its `image_id` is `<job_id>:<index>`.

    `code` and `reason` say why it failed, or will: see `ImageState`. `call` is the number of the
    customer's last call that it was planned in, which only `Queries.image` tells. Where a step was taken
    more than once, its seconds and sizes are those of the first time.
    """

    image_id: str
    job_id: str
    index: int
    status: ImageState
    url: str | None
    group: str | None = None
    position: int | None = None
    code: str | None = None
    reason: str | None = None
    original_bytes: int | None = None
    outputs: list[ImageOutput] = []
    requested_at: datetime | None = None
    download_seconds: float | None = None
    process_seconds: float | None = None
    call: int | None = None


class ImageResult(Struct, frozen=True, kw_only=True):
    """One line of a job's results: what became of the image, and all its public URLs."""

    index: int
    url: str | None
    status: ImageState
    results: list[str]
    code: str | None = None
    reason: str | None = None
    group: str | None = None
    position: int | None = None


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to an image or a job: which event told of it, when, and where it stands.

    `kind` is the event's type without version, or what it says in one: `image.downloaded`,
    `call.planned`, `outcome.recorded` … `at` is by the clock of the service that sent the event.
    """

    kind: str
    at: datetime
    service: str
    topic: str
    partition: int
    offset: int
    seconds: float | None = None
    seq: int | None = None
    round: int | None = None
    images: int | None = None
    outcome: str | None = None
    code: str | None = None
    reason: str | None = None
    size_bytes: int | None = None
    decided_by: str | None = None


class ImageTrail(Struct, frozen=True, kw_only=True):
    """An image with all its steps, in causal order, though some ran in parallel. One trace has them all.

    `server` is how the downloader spares its server at the moment, if it waits for that and it does.
    """

    image: ImageStatus
    customer_id: str
    trace_id: str
    steps: list[Step]
    server: ServerStatus | None = None


class CallOfJob(Struct, frozen=True, kw_only=True):
    """How many images of a job are in a call, and what became of them in it."""

    job_id: str
    images: int
    delivered: int
    failed: int
    returned: int


class CallStatus(Struct, frozen=True, kw_only=True):
    """One of a customer's calls. Times are None until they come, or where no topic tells them any more."""

    customer_id: str
    seq: int
    status: CallState
    images: int
    jobs: list[CallOfJob]
    call_id: str | None = None
    reference: str | None = None
    attempts: int = 0
    ambiguous: bool = False
    requested_at: datetime | None = None
    planned_at: datetime | None = None
    first_attempt_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    hold_reason: str | None = None
    decision: str | None = None
    decided_by: str | None = None


class LaneStatus(Struct, frozen=True, kw_only=True):
    """Where a customer's lane stands. `ready` images wait for the next call; `open_jobs` are not finished.

    `usual_seconds` is what calls have usually taken, of `usual_images` each; `call` is the open one.
    `stands_still` says why no lane sends anything, this one included; the gateway knows it, not the database.
    """

    customer_id: str
    state: LaneState
    last_seq: int
    ready: int
    open_jobs: int
    changed_at: datetime | None = None
    call: CallStatus | None = None
    hold_reason: str | None = None
    held_since: datetime | None = None
    usual_seconds: float | None = None
    usual_images: float | None = None
    overdue_since: datetime | None = None
    stands_still: str | None = None


class FailureCount(Struct, frozen=True, kw_only=True):
    """How many images have failed with a code; `call_failed` in their call. They add up to all that failed."""

    code: str
    reason: str
    images: int


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record that a service could not read, by the position where it stood.

    It lies as it came at `dead_letter_offset` of `dead_letter_topic` (which has one partition), except
    where only the tracker could not read it: then it still stands where it stood.
    """

    topic: str
    partition: int
    offset: int
    service: str
    reason: str
    at: datetime
    key: str | None
    size_bytes: int
    dead_letter_topic: str | None = None
    dead_letter_offset: int | None = None


class Freshness(Struct, frozen=True, kw_only=True):
    """How far the tracker has read: records that it knows of and has not read, and when it wrote last."""

    behind: int
    written_at: datetime | None
