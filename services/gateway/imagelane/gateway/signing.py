"""Results' addresses as they are handed out: signed, where a destination is not open to everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from imagelane.core.destinations import Destination
from imagelane.tracking.views import ImageResult, ImageStatus


class Signing:
    """Signs what an answer tells, at the time of the answer: the database knows addresses only."""

    def __init__(
        self,
        destinations: Iterable[Destination] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._presigned = [one for one in destinations if one.presigner is not None]
        self._now = now

    def results(self, images: Sequence[ImageResult]) -> Sequence[ImageResult]:
        """Lines of a job's results."""
        if not self._presigned:
            return images
        return [replace(one, results=[*map(self._readable, one.results)]) for one in images]

    def statuses(self, images: list[ImageStatus]) -> list[ImageStatus]:
        """Images with their outputs."""
        return [*map(self.status, images)] if self._presigned else images

    def status(self, image: ImageStatus) -> ImageStatus:
        """One of them."""
        if not self._presigned:
            return image
        outputs = [replace(one, url=self._readable(one.url)) for one in image.outputs]
        return replace(image, outputs=outputs)

    def _readable(self, address: str) -> str:
        for destination in self._presigned:
            if destination.holds(address):
                return destination.readable(address, self._now())
        return address
