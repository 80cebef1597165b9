"""What a `downloaded` record asks for, and what is told in the end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec import UNSET, UnsetType

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.events import ImageDownloaded, ImageProcessed
from imagelane.contracts.parts import Failure, Output
from imagelane.core.destinations import Destination
from imagelane.core.failures import Code, failure
from imagelane.core.recipes import RECIPES, OutputSpec, Recipe, original_key


@dataclass(frozen=True, slots=True)
class ImageWork:
    """An original, what is to be made of it, and where that goes."""

    job_id: str
    index: int
    original_key: str
    recipe: Recipe
    destination: Destination

    def key(self, output: OutputSpec) -> str:
        """Where the destination's store keeps this output."""
        return self.destination.key(self.job_id, self.index, output)

    def told(self, output: OutputSpec, width: int, height: int, size_bytes: int) -> Output:
        """The output as the event tells it."""
        return Output(
            name=output.name,
            url=self.destination.public_url(self.job_id, self.index, output),
            content_type=output.content_type,
            width=width,
            height=height,
            size_bytes=size_bytes,
        )


def check(downloaded: ImageDownloaded, key: bytes | None) -> None:
    """Raises `UnreadableRecordError` if the record contradicts itself."""
    if key != downloaded.customer_id.encode():
        raise UnreadableRecordError("the record's key is not the customer in it")
    expected = "original" if downloaded.status == "ok" else "failure"
    if getattr(downloaded, expected) is UNSET:
        raise UnreadableRecordError(f"status {downloaded.status!r} without {expected!r}")
    if downloaded.original is not UNSET and downloaded.original.key != original_key(
        downloaded.job_id, downloaded.index
    ):
        raise UnreadableRecordError("the original's key is not that of this image")


def work_of(
    downloaded: ImageDownloaded, destinations: Mapping[str, Destination]
) -> ImageWork | Failure:
    """The work, or why there is none: it failed before, or names what this deployment does not have."""
    if downloaded.failure is not UNSET:
        return downloaded.failure
    recipe = RECIPES.get(downloaded.recipe)
    if recipe is None:
        return failure(Code.UNKNOWN_RECIPE)
    destination = destinations.get(downloaded.destination)
    if destination is None:
        return failure(Code.UNKNOWN_DESTINATION)
    return ImageWork(
        downloaded.job_id,
        downloaded.index,
        original_key(downloaded.job_id, downloaded.index),
        recipe,
        destination,
    )


def processed(
    downloaded: ImageDownloaded, outcome: list[Output] | Failure, *, seconds: float, now: datetime
) -> ImageProcessed:
    """The image's end on this part of the road."""
    outputs: list[Output] | UnsetType = UNSET
    why: Failure | UnsetType = UNSET
    if isinstance(outcome, Failure):
        why = outcome
    else:
        outputs = outcome
    return ImageProcessed(
        customer_id=downloaded.customer_id,
        job_id=downloaded.job_id,
        index=downloaded.index,
        url=downloaded.url,
        recipe=downloaded.recipe,
        destination=downloaded.destination,
        group=downloaded.group,
        position=downloaded.position,
        status="ok" if why is UNSET else "failed",
        outputs=outputs,
        failure=why,
        seconds=round(seconds, 3),
        occurred_at=now,
    )
