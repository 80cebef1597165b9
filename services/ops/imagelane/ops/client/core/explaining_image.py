"""Why an image is where it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from imagelane.ops.client.core.answers import Image, Job, Lane, Trail
from imagelane.ops.client.core.explanation import Explanation, Facts
from imagelane.ops.client.core.lane_words import ago, images, lane_goes_on, lane_says, requested
from imagelane.ops.client.core.server_words import server_says
from imagelane.ops.durations import spoken

RECORDED: Final = "outcome.recorded"
FINAL: Final = frozenset({"delivered", "failed", "cancelled"})
NOT_KNOWN_OF_OTHERS: Final = (
    "How many images of other customers are served in between, the API does not tell."
)
NOT_SPARED: Final = "No downloader says that it spares the image's server."
NOT_KNOWN_OF_DOWNLOADS: Final = (
    "Whether it is under way, or waits for another try, only the downloader's log and metrics tell."
)


def explain_image(trail: Trail, job: Job, facts: Facts) -> Explanation:
    """The image's explanation."""
    image = trail.image
    why, after, not_known = _told(trail, job, facts)
    return Explanation(
        subject=f"image {image.image_id}",
        state=image.status,
        why=why,
        next=after,
        not_known=not_known,
    )


def explain_unknown(image_id: str, job: Job) -> Explanation:
    """The explanation of an image of which nothing is known, of a job whose images are still being requested."""
    return Explanation(
        subject=f"image {image_id}",
        state="unknown",
        why=(
            f"Intake has requested {requested(job)} of its job so far, as fast as the downloader takes them,"
            " and not come to this one."
        ),
        next="It is requested when intake comes to its line.",
    )


def _told(trail: Trail, job: Job, facts: Facts) -> tuple[str, str, str]:
    image, lane = trail.image, facts.lane
    if image.status in FINAL:
        return _over(trail, facts.now), "Nothing more happens to it.", ""
    cut = _cut_short(job)
    if image.status == "in_call":
        ends = "Its outcome is known when the call has ended"
        return (
            f"It is in the call that is under way. {lane_says(lane, facts.now)}",
            f"{ends}; a cancel does not stop it." if cut else f"{ends}.",
            "",
        )
    if cut:
        return cut, "It will be recorded as cancelled; no call will have it.", ""
    if image.status == "processed":
        return _processed(image, lane, facts)
    if image.status == "downloaded":
        waiting = max(job.counts.downloaded - job.counts.processed, 1)
        why = (
            f"It is downloaded and waits for the processor, as {images(waiting)} of its job do"
            f"{_with_itself(waiting)}{_at_pace(waiting, job.counts.processed, job, facts.now)}."
        )
        return why, "It is decoded and stored next, and then it is ready for a call.", ""
    return _requested(image, job, facts)


def _over(trail: Trail, now: datetime) -> str:
    image = trail.image
    recorded = [step.at for step in trail.steps if step.kind == RECORDED]
    when = f", {ago(min(recorded), now)}" if recorded else ""
    if image.status == "delivered":
        call = "a call" if image.call is None else f"call {image.call}"
        return f"It is done: {call} delivered it{when}, with {_results(image)}."
    if image.status == "failed":
        return f"It failed{when}: {image.reason or 'no reason is told'} ({image.code})."
    return f"It was cancelled{when}: no call had it yet when its job was cut short."


def _results(image: Image) -> str:
    count = len(image.outputs)
    return "1 result" if count == 1 else f"{count} results"


def _processed(image: Image, lane: Lane | None, facts: Facts) -> tuple[str, str, str]:
    if image.code is not None:
        return (
            f"It could not be made: {image.reason} ({image.code}). It waits for the dispatcher to record that.",
            "It will be recorded as failed; no call will have it.",
            "",
        )
    waiting = (
        "" if lane is None or not lane.ready else f", as {images(lane.ready)} of the customer do"
    )
    why = (
        f"Its results are made, and it waits for the customer's next call{waiting}"
        f"{_with_itself(lane.ready if lane else 0)}. {lane_says(lane, facts.now)}{_older(facts)}"
    )
    return why, lane_goes_on(lane), ""


def _requested(image: Image, job: Job, facts: Facts) -> tuple[str, str, str]:
    since = "" if image.requested_at is None else f" since {spoken(facts.now - image.requested_at)}"
    past = job.counts.downloaded - image.index
    after = "It is downloaded next, then processed, then ready for a call."
    spared = "" if facts.server is None else server_says("Its server", facts.server, facts.now)
    if past > 0:
        why = (
            f"It waits{since} for the downloader, which has passed at least {images(past)} further down its list,"
            f" so it is not only waiting for its turn. {spared or NOT_SPARED}"
        )
        return why, after, NOT_KNOWN_OF_DOWNLOADS
    before = -past
    others = sum(one.counts.requested - one.counts.downloaded for one in facts.others)
    more = (
        f" {images(others).capitalize()} of the customer's other jobs wait there, too."
        if others > 0
        else ""
    )
    if before == 0:
        why = f"It waits{since} for the downloader, the first of its list that does.{more} {spared}"
        return why.rstrip(), after, NOT_KNOWN_OF_DOWNLOADS
    why = (
        f"It waits{since} for its turn at the downloader: at least {images(before)} before it in its list"
        f" wait, too{_at_pace(before + 1, job.counts.downloaded, job, facts.now)}.{more} {spared}".rstrip()
    )
    return why, after, NOT_KNOWN_OF_OTHERS


def _older(facts: Facts) -> str:
    older = [one for one in facts.others if _before(one, facts.job)]
    if not older:
        return ""
    ready = sum(one.counts.ready for one in older)
    return f" Older jobs of the customer go first where a call is limited; they have {images(ready)} ready."


def _before(one: Job, job: Job | None) -> bool:
    if job is None or one.accepted_at is None or job.accepted_at is None:
        return False
    return one.accepted_at < job.accepted_at and one.counts.ready > 0


def _cut_short(job: Job) -> str:
    if job.cut_short_by == "deadline":
        return "Its job has passed its deadline."
    if job.cut_short_by is not None or job.cancel_asked_at is not None:
        return "Its job is being cancelled."
    return ""


def _with_itself(waiting: int) -> str:
    return " (itself among them)" if waiting > 1 else ""


def _at_pace(waiting: int, passed: int, job: Job, now: datetime) -> str:
    """How long that takes at the job's pace so far; nothing while there is none."""
    if job.accepted_at is None or passed <= 0 or now <= job.accepted_at:
        return ""
    seconds = (now - job.accepted_at).total_seconds() / passed * waiting
    return f", about {spoken(timedelta(seconds=seconds))} at the job's pace so far"
