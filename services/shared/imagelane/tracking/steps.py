"""The kinds of steps in an audit trail: what each is called, who took it, and on which topic it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from imagelane.contracts import topics


class Kind(IntEnum):
    """The number is what the database holds, so it never changes its meaning.

    Numbers ascend as an image goes its way: of two steps, the one with the smaller number is the cause.
    """

    JOB_ACCEPTED = 10
    JOB_REFUSED = 11
    IMAGE_REQUESTED = 20
    JOB_SEALED = 25
    IMAGES_MISSING = 27
    IMAGE_DOWNLOADED = 30
    IMAGE_PROCESSED = 40
    JOB_CANCEL_ASKED = 50
    JOB_DELETE_ASKED = 51
    CUSTOMER_CANCEL_ASKED = 52
    CUSTOMER_DELETE_ASKED = 53
    LANE_RELEASE_ASKED = 54
    IMAGES_SETTLED_FAILED = 60
    IMAGES_SETTLED_CANCELLED = 61
    BATCH_REQUESTED = 70
    CALL_PLANNED = 80
    CALL_SUBMITTING = 81
    CALL_ACTIVE = 82
    CALL_HELD = 83
    CALL_COMPLETED = 100
    RECORDED_DELIVERED = 90
    RECORDED_FAILED = 91
    RECORDED_CANCELLED = 92
    JOB_FINISHED = 110
    NOTICE_DELIVERED = 120
    NOTICE_GIVEN_UP = 121


@dataclass(frozen=True, slots=True)
class KindOfStep:
    """How a kind of step is shown. `outcome` is what became of the images, where the step says so."""

    name: str
    service: str
    topic: str
    outcome: str | None = None


KINDS: Final[dict[Kind, KindOfStep]] = {
    Kind.JOB_ACCEPTED: KindOfStep("job.accepted", "intake", topics.JOBS),
    Kind.JOB_REFUSED: KindOfStep("job.refused", "intake", topics.JOBS),
    Kind.IMAGE_REQUESTED: KindOfStep("image.requested", "intake", topics.REQUESTED),
    Kind.JOB_SEALED: KindOfStep("job.sealed", "intake", topics.JOBS),
    Kind.IMAGES_MISSING: KindOfStep("images.missing", "batcher", topics.MISSING),
    Kind.IMAGE_DOWNLOADED: KindOfStep("image.downloaded", "downloader", topics.DOWNLOADED),
    Kind.IMAGE_PROCESSED: KindOfStep("image.processed", "processor", topics.PROCESSED),
    Kind.JOB_CANCEL_ASKED: KindOfStep("cancel.job", "gateway", topics.COMMANDS),
    Kind.JOB_DELETE_ASKED: KindOfStep("delete.job", "gateway", topics.COMMANDS),
    Kind.CUSTOMER_CANCEL_ASKED: KindOfStep("cancel.customer", "gateway", topics.COMMANDS),
    Kind.CUSTOMER_DELETE_ASKED: KindOfStep("delete.customer", "gateway", topics.COMMANDS),
    Kind.LANE_RELEASE_ASKED: KindOfStep("release.lane", "gateway", topics.COMMANDS),
    Kind.IMAGES_SETTLED_FAILED: KindOfStep("images.settled", "batcher", topics.BATCHES, "failed"),
    Kind.IMAGES_SETTLED_CANCELLED: KindOfStep(
        "images.settled", "batcher", topics.BATCHES, "cancelled"
    ),
    Kind.BATCH_REQUESTED: KindOfStep("batch.requested", "batcher", topics.BATCHES),
    Kind.CALL_PLANNED: KindOfStep("call.planned", "dispatcher", topics.CALLS),
    Kind.CALL_SUBMITTING: KindOfStep("call.submitting", "dispatcher", topics.CALLS),
    Kind.CALL_ACTIVE: KindOfStep("call.active", "dispatcher", topics.CALLS),
    Kind.CALL_HELD: KindOfStep("call.held", "dispatcher", topics.CALLS),
    Kind.CALL_COMPLETED: KindOfStep("call.completed", "dispatcher", topics.COMPLETED),
    Kind.RECORDED_DELIVERED: KindOfStep(
        "outcome.recorded", "dispatcher", topics.CALLS, "delivered"
    ),
    Kind.RECORDED_FAILED: KindOfStep("outcome.recorded", "dispatcher", topics.CALLS, "failed"),
    Kind.RECORDED_CANCELLED: KindOfStep(
        "outcome.recorded", "dispatcher", topics.CALLS, "cancelled"
    ),
    Kind.JOB_FINISHED: KindOfStep("job.finished", "batcher", topics.FINISHED),
    Kind.NOTICE_DELIVERED: KindOfStep("notice.delivered", "notifier", topics.NOTICES),
    Kind.NOTICE_GIVEN_UP: KindOfStep("notice.given_up", "notifier", topics.NOTICES),
}
