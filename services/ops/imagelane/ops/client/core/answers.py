"""The API's answers, as far as the command line reads them.

A newer gateway may say more, and use words that are not known here: neither is an error. `schemas/openapi.yaml`
describes them whole; a test holds these fields against it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

Kind = TypeVar("Kind")

OVER: Final = frozenset({"finished", "refused"})
"""How a job stands when nothing more happens to it."""


class UnreadableAnswerError(ValueError):
    """Whatever has answered, it was not a gateway of this API."""


def read(answer: bytes | msgspec.Raw, kind: type[Kind]) -> Kind:
    """The answer. Raises `UnreadableAnswerError`."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableAnswerError(f"the answer is not one of this API: {error}") from error


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457: why something was not done. `field` names the parameter that is at fault."""

    detail: str = ""
    title: str = ""
    field: str | None = None


class Page(Struct, frozen=True, kw_only=True):
    """Part of a list."""

    items: list[msgspec.Raw]
    next_cursor: str | None = None


class Submitted(Struct, frozen=True, kw_only=True):
    """Kafka has the list."""

    job_id: str
    customer_id: str
    idempotency_key: str


class Counts(Struct, frozen=True, kw_only=True):
    """Images of a job that have passed each step."""

    requested: int = 0
    downloaded: int = 0
    processed: int = 0
    delivered: int = 0
    failed: int = 0
    cancelled: int = 0
    ready: int = 0

    @property
    def settled(self) -> int:
        """Those to which nothing more happens."""
        return self.delivered + self.failed + self.cancelled


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a list was not taken."""

    code: str
    reason: str


class FailureCount(Struct, frozen=True, kw_only=True):
    """How many images of a job have failed with a code."""

    code: str
    reason: str
    images: int


class Notice(Struct, frozen=True, kw_only=True):
    """How far the answer to a job's `notify_url` has come."""

    state: str
    attempts: int
    last_result: str | None = None
    next_at: datetime | None = None


class Job(Struct, frozen=True, kw_only=True):
    """Where a job stands. `images` is None until it is accepted; `failures` are not in every answer."""

    job_id: str
    customer_id: str
    status: str
    images: int | None
    counts: Counts
    change: int = 0
    recipe: str | None = None
    destination: str | None = None
    accepted_at: datetime | None = None
    handed_in_at: datetime | None = None
    sealed_at: datetime | None = None
    finished_at: datetime | None = None
    refused_at: datetime | None = None
    deadline: datetime | None = None
    refusal: Refusal | None = None
    cut_short_by: str | None = None
    cancel_asked_at: datetime | None = None
    notice: Notice | None = None
    failures: list[FailureCount] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in OVER


class Output(Struct, frozen=True, kw_only=True):
    """One result of an image."""

    name: str
    url: str
    width: int
    height: int
    size_bytes: int


class Image(Struct, frozen=True, kw_only=True):
    """Where an image stands."""

    image_id: str
    job_id: str
    index: int
    status: str
    url: str | None = None
    code: str | None = None
    reason: str | None = None
    original_bytes: int | None = None
    outputs: list[Output] = []
    requested_at: datetime | None = None
    download_seconds: float | None = None
    process_seconds: float | None = None
    call: int | None = None


class Step(Struct, frozen=True, kw_only=True):
    """Something that happened to an image, and the record that tells of it."""

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


class Server(Struct, frozen=True, kw_only=True):
    """How the downloader spares a server at the moment."""

    host: str
    state: str
    images_at_a_time: int | None = None
    resumes_at: datetime | None = None
    requests_per_second: float | None = None
    code: str | None = None
    reason: str | None = None


class Trail(Struct, frozen=True, kw_only=True):
    """An image, and all that happened to it. `server`: its own, where that is why it waits."""

    image: Image
    customer_id: str
    trace_id: str
    steps: list[Step]
    server: Server | None = None


class Call(Struct, frozen=True, kw_only=True):
    """One call at the batch API."""

    seq: int
    status: str
    images: int
    call_id: str | None = None
    reference: str | None = None
    attempts: int = 0
    planned_at: datetime | None = None
    first_attempt_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Lane(Struct, frozen=True, kw_only=True):
    """A customer's lane. `calls` are the last ones, newest first; not every answer has them."""

    customer_id: str
    state: str
    last_seq: int
    ready: int
    open_jobs: int
    changed_at: datetime | None = None
    call: Call | None = None
    hold_reason: str | None = None
    held_since: datetime | None = None
    usual_seconds: float | None = None
    usual_images: float | None = None
    overdue_since: datetime | None = None
    stands_still: str | None = None
    calls: list[Call] = []


class Freshness(Struct, frozen=True, kw_only=True):
    """How many records the tracker has not read yet."""

    behind: int


class Commanded(Struct, frozen=True, kw_only=True):
    """Kafka has the command."""

    command: str
    customer_id: str
    decided_by: str
