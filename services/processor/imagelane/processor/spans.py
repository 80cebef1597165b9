"""What the processor tells of in traces."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from imagelane.contracts.events import ImageProcessed
from imagelane.contracts.topics import DOWNLOADED
from imagelane.platform.tracing import Attributes, Work


def _of_image(event: ImageProcessed) -> Attributes:
    if event.outputs is UNSET:
        return {}
    return {
        "imagelane.recipe": event.recipe,
        "imagelane.output_bytes": sum(one.size_bytes for one in event.outputs),
    }


PROCESS: Final = Work("process image", "consumer", DOWNLOADED, describe=_of_image)
PASS_ON: Final = Work("pass on failed image", "consumer", DOWNLOADED)
"""It had failed before: this service did nothing to it, so its span is no error of this service's."""
