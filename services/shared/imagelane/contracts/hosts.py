"""Servers of images, as the downloader spares them: told on the topic `hosts`, for whoever asks why an image waits."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from imagelane.contracts.events import Event
from imagelane.contracts.fields import FailureCode, Instant, OccurredAt, Text255

HostState = Literal["asked_to_wait", "failing", "slowed", "rated", "steady"]
HostName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=300,
        description="Its name, with its port where that is not the scheme's own; or a domain that has a rate.",
    ),
]
ImagesAtATime = Annotated[int, Meta(ge=1, description="How many images it gets at a time.")]
RequestsPerSecond = Annotated[float, Meta(gt=0, description="The rate that an operator has set.")]


class HostRecorded(Event, frozen=True, kw_only=True, tag="host.recorded.v1"):
    """How one downloader spares a server for which images wait. Nobody's images are named.

    Told when it changes, and again while it lasts: what is older than `holds_until` is nobody's word any more.
    """

    host: HostName
    worker: Annotated[
        Text255,
        Meta(
            description="Which downloader tells it, by machine and process: each has a pace of its own."
        ),
    ]
    state: Annotated[
        HostState,
        Meta(
            description="`asked_to_wait`: it said so (`Retry-After`); `failing`: it is only probed, with single images;"
            " `slowed`: it failed, or its answers take longer; `rated`: only its rate; `steady`: no more of it."
        ),
    ]
    holds_until: Annotated[Instant, Meta(description="From when on this tells nothing.")]
    occurred_at: OccurredAt
    images_at_a_time: ImagesAtATime | UnsetType = UNSET
    resumes_at: (
        Annotated[Instant, Meta(description="Nothing is asked of it before.")] | UnsetType
    ) = UNSET
    trouble: (
        Annotated[FailureCode, Meta(description="How it failed last, if it did.")] | UnsetType
    ) = UNSET
    requests_per_second: RequestsPerSecond | UnsetType = UNSET


def host_key(event: HostRecorded) -> bytes:
    """The key of a downloader's records about a server."""
    return f"host|{event.host}|{event.worker}".encode()
