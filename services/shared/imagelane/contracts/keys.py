"""API keys, as the compacted topic `keys` holds them: never a secret, only what recognises it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from imagelane.contracts.events import Event
from imagelane.contracts.fields import CustomerId, Instant, OccurredAt, Sha256, Text255

KeyId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z2-7]{12}\Z",
        description="The public part of the key, and the key of its record.",
    ),
]
Scope = Literal["submit", "read", "operate"]


class KeyRecorded(Event, frozen=True, kw_only=True, tag="key.recorded.v1"):
    """A key for the HTTP API, one record per key: the last one says whether it still opens anything."""

    key_id: KeyId
    secret_sha256: Sha256
    scopes: Annotated[
        list[Scope],
        Meta(
            min_length=1,
            max_length=3,
            description="What it opens: handing in and cancelling, looking, everything of everybody.",
        ),
    ]
    name: Annotated[Text255, Meta(description="Who or what uses it, in the words of its maker.")]
    occurred_at: OccurredAt
    customer_id: CustomerId | UnsetType = UNSET
    expires_at: (
        Annotated[Instant, Meta(description="From when on it opens nothing.")] | UnsetType
    ) = UNSET
    revoked_at: (
        Annotated[Instant, Meta(description="Since when it opens nothing, by decision.")]
        | UnsetType
    ) = UNSET
