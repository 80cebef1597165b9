"""What an explanation is made of, and what it is."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from imagelane.ops.client.core.answers import Job, Lane, Server, Trail


class Facts(Struct, frozen=True, kw_only=True):
    """What the gateway was asked about, and answered at `now`.

    `trail` for an image, `job` for an image and a job; a customer has neither. `image_id` is of an image of the job
    of which nothing is known. `others` are the customer's other open jobs. `server` is spared, and has the image, or
    else the first one that waits for the downloader, of the job or of the customer's oldest open one.
    `behind` is how many records the tracker has not read yet.
    """

    now: datetime
    customer_id: str
    trail: Trail | None = None
    job: Job | None = None
    image_id: str | None = None
    lane: Lane | None = None
    others: list[Job] = []
    server: Server | None = None
    behind: int = 0


class Explanation(Struct, frozen=True, kw_only=True):
    """Why something is as it is, what happens next by itself, and what could not be found out (often nothing)."""

    subject: str
    state: str
    why: str
    next: str
    not_known: str = ""

    @property
    def paragraph(self) -> str:
        """All of it."""
        return " ".join(part for part in (self.why, self.next, self.not_known) if part)
