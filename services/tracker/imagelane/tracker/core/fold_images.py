"""Events about images. The hot path: every image comes by here three times."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET
from pyroaring import BitMap

from imagelane.contracts import events as e
from imagelane.contracts.image_sets import unpack
from imagelane.contracts.parts import Failure, Output
from imagelane.core.failures import REASONS
from imagelane.tracker.core.changes import (
    Changes,
    Place,
    Row,
    held,
    known,
    milliseconds,
    plain,
)
from imagelane.tracker.core.jobs import Job
from imagelane.tracking.steps import Kind

MAX_BYTES: Final = 2**62
MAX_SECONDS: Final = 1_000_000.0
_REASONS: Final[dict[str, str]] = {code.value: reason for code, reason in REASONS.items()}


def requested(changes: Changes, place: Place, event: e.ImageRequested) -> None:
    """The image is to be fetched."""
    round_ = held(event.round) or None
    at = milliseconds(event.occurred_at)
    job = _job(changes, event, at)
    job.sets.requested.add(event.index)
    changes.image_steps.append(
        _step(job, event.index, Kind.IMAGE_REQUESTED, place, at)
        | {"round": round_}
        | (_why(event.defect) if event.defect else {})
    )


def downloaded(changes: Changes, place: Place, event: e.ImageDownloaded) -> None:
    """The image's original is stored, or never will be."""
    took_ms = _milliseconds_of(event.seconds)
    at = milliseconds(event.occurred_at)
    job = _job(changes, event, at)
    job.sets.downloaded.add(event.index)
    step = _step(job, event.index, Kind.IMAGE_DOWNLOADED, place, at)
    step["took_ms"] = took_ms
    if event.original:
        step["size_bytes"] = min(event.original.size_bytes, MAX_BYTES)
    if event.failure:
        step |= _why(event.failure)
    changes.image_steps.append(step)


def processed(changes: Changes, place: Place, event: e.ImageProcessed) -> None:
    """The image has its results, or has failed on the road."""
    took_ms = _milliseconds_of(event.seconds)
    at = milliseconds(event.occurred_at)
    job = _job(changes, event, at)
    job.sets.processed.add(event.index)
    step = _step(job, event.index, Kind.IMAGE_PROCESSED, place, at)
    step["took_ms"] = took_ms
    if event.outputs:
        job.sets.made.add(event.index)
        step["outputs"] = ";".join(map(_in_words, event.outputs))
        if job.base_url is None:
            job.base_url = _base_of(event.outputs[0].url, event)
    if event.failure:
        job.met.setdefault(event.failure.code, BitMap()).add(event.index)
        step |= _why(event.failure)
    changes.image_steps.append(step)


def missing(changes: Changes, place: Place, event: e.ImagesMissing) -> None:
    """The sweep asks for images again."""
    images, round_ = unpack(event.images), held(event.round)
    at = milliseconds(event.occurred_at)
    job = changes.job(event.customer_id, event.job_id, at)
    row = set_step(job, Kind.IMAGES_MISSING, place, at, images)
    changes.job_steps.append(row | {"round": round_})


def settled(changes: Changes, place: Place, event: e.ImagesSettled) -> None:
    """The batcher proposes that images have failed, or are cancelled."""
    at = milliseconds(event.occurred_at)
    sets = [
        (one.job_id, kind, unpack(images))
        for one in event.jobs
        for kind, images in (
            (Kind.IMAGES_SETTLED_FAILED, one.failed),
            (Kind.IMAGES_SETTLED_CANCELLED, one.cancelled),
        )
    ]
    for job_id, kind, images in sets:
        job = changes.job(event.customer_id, job_id, at)
        if images:
            changes.job_steps.append(set_step(job, kind, place, at, images))


def set_step(job: Job, kind: Kind, place: Place, at: int, images: BitMap) -> Row:
    """A step that many images of a job took at once."""
    images.run_optimize()
    return {
        "number": job.number,
        "kind": kind,
        "partition": place.partition,
        "offset": place.offset,
        "at": at,
        "images": images.serialize(),
        "round": None,
        "code": None,
        "reason": None,
    }


def _job(
    changes: Changes, event: e.ImageRequested | e.ImageDownloaded | e.ImageProcessed, at: int
) -> Job:
    job = changes.job(event.customer_id, event.job_id, at)
    if job.recipe is None:
        job.recipe, job.destination = event.recipe, event.destination
    key = job.number, event.index
    if key not in changes.images:
        changes.images[key] = {
            "number": job.number,
            "idx": event.index,
            "url": plain(event.url),
            "group_name": known(event.group),
            "position": None if event.position is UNSET else event.position,
        }
    return job


def _step(job: Job, index: int, kind: Kind, place: Place, at: int) -> Row:
    return {
        "number": job.number,
        "idx": index,
        "kind": kind,
        "partition": place.partition,
        "offset": place.offset,
        "at": at,
        "took_ms": None,
        "size_bytes": None,
        "outputs": None,
        "code": None,
        "reason": None,
        "round": None,
    }


def _why(failure: Failure) -> dict[str, Any]:
    """A reason that follows from its code is not kept a hundred thousand times."""
    usual = _REASONS.get(failure.code) == failure.reason
    return {"code": failure.code, "reason": None if usual else plain(failure.reason)}


def _milliseconds_of(seconds: float) -> int:
    return round(min(seconds, MAX_SECONDS) * 1_000)


def _in_words(output: Output) -> str:
    file_name = output.url.rsplit("/", 1)[-1].replace(";", "%3B")
    return f"{output.name},{file_name},{output.width},{output.height},{output.size_bytes}"


def _base_of(url: str, event: e.ImageProcessed) -> str | None:
    base, found, _file_name = url.rpartition(f"/{event.job_id}/{event.index}/")
    return base if found else None
