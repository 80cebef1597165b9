"""An image from its rows: what its list says, what its events say, and in which set it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from imagelane.core.failures import REASONS
from imagelane.tracking.image_sets import CALL_FAILED, CALL_FAILED_REASON
from imagelane.tracking.steps import Kind
from imagelane.tracking.views import ImageOutput, ImageResult, ImageState, ImageStatus

Row = Mapping[str, Any]
_REASONS: Final[dict[str, str]] = {
    CALL_FAILED: CALL_FAILED_REASON,
    **{code.value: reason for code, reason in REASONS.items()},
}
_MEDIA_TYPES: Final = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
}
_MILLISECONDS: Final = 1_000


def moment(milliseconds: int | None) -> datetime | None:
    """A time of the tables."""
    return None if milliseconds is None else instant(milliseconds)


def instant(milliseconds: int) -> datetime:
    """A time of the tables that is always there."""
    return datetime.fromtimestamp(milliseconds / _MILLISECONDS, UTC)


def reason_of(code: str | None, reason: str | None) -> str | None:
    """What is shown for a code: its usual reason, where no other was kept."""
    return reason if reason is not None or code is None else _REASONS.get(code, code)


def image_status(
    job: Row,
    index: int,
    listed: Row | None,
    steps: Sequence[Row],
    state: ImageState,
) -> ImageStatus:
    """The image as it stands. `steps` are its rows of `image_steps`."""
    listed = listed or {"url": None, "group_name": None, "position": None}
    requested = _first(steps, Kind.IMAGE_REQUESTED)
    downloaded = _first(steps, Kind.IMAGE_DOWNLOADED)
    processed = _first(steps, Kind.IMAGE_PROCESSED)
    code, reason = _why(steps, state)
    return ImageStatus(
        image_id=f"{job['job_id']}:{index}",
        job_id=job["job_id"],
        index=index,
        status=state,
        url=listed["url"],
        group=listed["group_name"],
        position=listed["position"],
        code=code,
        reason=reason,
        original_bytes=None if downloaded is None else downloaded["size_bytes"],
        outputs=_outputs(job, index, steps),
        requested_at=None if requested is None else instant(requested["at"]),
        download_seconds=_seconds(downloaded),
        process_seconds=_seconds(processed),
    )


def image_result(
    job: Row, index: int, listed: Row | None, steps: Sequence[Row], state: ImageState
) -> ImageResult:
    """The image as a line of the job's results."""
    listed = listed or {"url": None, "group_name": None, "position": None}
    code, reason = _why(steps, state)
    return ImageResult(
        index=index,
        url=listed["url"],
        status=state,
        results=[output.url for output in _outputs(job, index, steps)],
        code=code,
        reason=reason,
        group=listed["group_name"],
        position=listed["position"],
    )


def _first(steps: Iterable[Row], kind: Kind) -> Row | None:
    taken = [step for step in steps if step["kind"] == kind]
    return min(
        taken, key=lambda step: (step["at"], step["partition"], step["offset"]), default=None
    )


def _seconds(step: Row | None) -> float | None:
    return None if step is None or step["took_ms"] is None else step["took_ms"] / _MILLISECONDS


def _why(steps: Sequence[Row], state: ImageState) -> tuple[str | None, str | None]:
    """Why the image failed, or will: told by the first failure that came furthest on the road."""
    if state in ("delivered", "cancelled", "in_call"):
        return None, None
    if state != "failed" and any(step["outputs"] for step in steps):
        return None, None  # done twice, and once with success: the dispatcher will say what counts
    failures = [step for step in steps if step["code"]]
    met = _first(failures, Kind.IMAGE_PROCESSED) or _first(failures, Kind.IMAGE_DOWNLOADED)
    if met is not None:
        return met["code"], reason_of(met["code"], met["reason"])
    return (CALL_FAILED, CALL_FAILED_REASON) if state == "failed" else (None, None)


def _outputs(job: Row, index: int, steps: Iterable[Row]) -> list[ImageOutput]:
    made = _first([step for step in steps if step["outputs"]], Kind.IMAGE_PROCESSED)
    if made is None:
        return []
    below = f"{job['base_url'] or ''}/{job['job_id']}/{index}"
    return [_output(below, words) for words in made["outputs"].split(";")]


def _output(below: str, words: str) -> ImageOutput:
    names, width, height, size_bytes = words.rsplit(",", 3)
    name, _, file_name = names.partition(",")
    return ImageOutput(
        name=name,
        url=f"{below}/{file_name}",
        content_type=_MEDIA_TYPES.get(file_name.rpartition(".")[2]),
        width=int(width),
        height=int(height),
        size_bytes=int(size_bytes),
    )
