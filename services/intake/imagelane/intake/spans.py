"""What intake tells of in traces: the beginning of every job and of every image."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from imagelane.contracts.codec import Trace
from imagelane.contracts.events import ImageRequested, JobAccepted
from imagelane.contracts.topics import REQUESTED, URLS
from imagelane.platform.tracing import Attributes, Work


def _of_job(event: JobAccepted) -> Attributes:
    images = 0 if event.images is UNSET else event.images
    return {"imagelane.images": images, "imagelane.recipe": event.recipe}


def _job_of(image: ImageRequested) -> list[Trace]:
    return [Trace.of_job(image.customer_id, image.job_id)]


ACCEPT: Final = Work("accept job", "consumer", URLS, place="anchor", describe=_of_job)
REFUSE: Final = Work("refuse job", "consumer", URLS, place="anchor")
REQUEST: Final = Work("request image", "producer", REQUESTED, place="anchor", links=_job_of)
REQUEST_AGAIN: Final = Work("request image again", "producer", REQUESTED, links=_job_of)
