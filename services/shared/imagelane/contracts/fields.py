"""What a single field of an event may hold. A field's meaning stands here once, for schemas and docs alike."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

MAX_URL_CHARS = 2_048
MAX_INLINE_URLS = 10_000

# Patterns end in `\Z`: Python's `$` would let a newline follow. In JSON Schema the same is a `$`.
_NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,63}\Z"

CustomerId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^[^\u0000-\u001f\u007f]+\Z",
        description="Who handed in the list. Also the key of every record.",
    ),
]
JobId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z2-7]{32}\Z",
        description="HMAC of customer and idempotency key: the same submission is the same job.",
    ),
]
Index = Annotated[
    int, Meta(ge=0, le=2**31 - 1, description="The image's line in the accepted list, from 0.")
]
Count = Annotated[int, Meta(ge=0)]
ImageCount = Annotated[int, Meta(ge=0, description="How many images.")]
SizeBytes = Annotated[int, Meta(ge=0, description="Size in bytes.")]
Seconds = Annotated[float, Meta(ge=0, description="How long the step took.")]
Seq = Annotated[int, Meta(ge=0, description="A customer's calls are numbered from 1; 0 is none.")]
CallSeq = Annotated[int, Meta(ge=1, description="The number of the customer's call, from 1.")]
CallId = Annotated[str, Meta(description="The external API's own name of the call.")]
Reference = Annotated[
    str, Meta(min_length=1, max_length=255, description="Our own name of the call at the API.")
]
Name = Annotated[str, Meta(pattern=_NAME)]
RecipeName = Annotated[str, Meta(pattern=_NAME, description="What is made of each image.")]
DestinationName = Annotated[
    str, Meta(pattern=_NAME, description="Where the results lie, of those that settings allow.")
]
FailureCode = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}\Z", description="One of the closed list of codes.")
]
Instant = Annotated[datetime, Meta(tz=True)]
OccurredAt = Annotated[datetime, Meta(tz=True, description="When the sender said so.")]
Deadline = Annotated[
    datetime, Meta(tz=True, description="When the job should be done; one in the past is refused.")
]
HandedInAt = Annotated[
    datetime,
    Meta(
        tz=True,
        description="When the broker took the list. What is decided about a customer holds for jobs up to then.",
    ),
]
Reason = Annotated[str, Meta(max_length=2_000, description="In words, without anything internal.")]
Group = Annotated[
    str,
    Meta(min_length=1, max_length=255, description="The submitter's own grouping; passed through."),
]
Position = Annotated[
    int, Meta(ge=0, le=2**31 - 1, description="The image's place in its group; passed through.")
]
Text255 = Annotated[str, Meta(min_length=1, max_length=255)]
IdempotencyKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        description="The same key of the same customer is the same job, however often it comes.",
    ),
]
ImageUrl = Annotated[
    str, Meta(max_length=MAX_URL_CHARS, description="The line as it stood in the list.")
]
HttpUrl = Annotated[str, Meta(pattern="^https?://", max_length=MAX_URL_CHARS)]
NotifyUrl = Annotated[
    str,
    Meta(
        pattern="^https?://",
        max_length=MAX_URL_CHARS,
        description="Where the submitter wants to hear of the job's end.",
    ),
]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="In hexadecimal.")]
