"""The frozen copy of an accepted list: what stands in it, and how it becomes bytes.

Gzip of newline-delimited JSON: a header line, then one line per image in the order of the list, so
that line n + 2 of the file is the image with index n. The header comes first though it holds the
count, because it is a gzip member of its own that is written last and put in front.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from imagelane.contracts.events import ImageRequested, ListSubmitted
from imagelane.contracts.fields import (
    Count,
    CustomerId,
    Deadline,
    DestinationName,
    IdempotencyKey,
    Instant,
    JobId,
    NotifyUrl,
    RecipeName,
)
from imagelane.core.recipes import list_key
from imagelane.intake.core.entries import ListEntry, entry_of

_GZIP: Final = 31
_LEVEL: Final = 3  # URLs shrink to a tenth at every level; the higher ones only take longer


class FrozenHeader(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was accepted. `fingerprint` tells the submission's content without reading a list again."""

    customer_id: CustomerId
    job_id: JobId
    recipe: RecipeName
    destination: DestinationName
    images: Count
    fingerprint: str
    accepted_at: Instant
    idempotency_key: IdempotencyKey | UnsetType = UNSET
    list_url: str | UnsetType = UNSET
    deadline: Deadline | UnsetType = UNSET
    notify_url: NotifyUrl | UnsetType = UNSET
    handed_in_at: Instant | UnsetType = UNSET

    @property
    def key(self) -> str:
        """Where the list lies."""
        return list_key(self.customer_id, self.job_id)

    def was_handed_in_by(self, moment: datetime) -> bool:
        """Whether what was decided then about the customer holds for this list."""
        return (self.accepted_at if self.handed_in_at is UNSET else self.handed_in_at) <= moment

    def is_over_at(self, moment: datetime) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not UNSET and self.deadline <= moment


_encoder: Final = msgspec.json.Encoder()
_header_decoder: Final = msgspec.json.Decoder(FrozenHeader)
_entry_decoder: Final = msgspec.json.Decoder(ListEntry)


def inline_entries(submitted: ListSubmitted) -> Iterator[ListEntry]:
    """The entries of a list that came inside its record."""
    for image in submitted.urls or ():
        if isinstance(image, str):
            yield entry_of(image)
        else:
            yield entry_of(image.url, image.group, image.position)


def fingerprint_of(submitted: ListSubmitted) -> str:
    """SHA-256 of what the submission asks for; the same content in another spelling is the same.

    That is: the entries, or the list's URL or hash with its format and column (not what lies at the
    URL: it is read only once); the recipe, the destination and the deadline as an instant.
    """
    deadline = None if submitted.deadline is UNSET else submitted.deadline.astimezone(UTC)
    place = submitted.list_url or submitted.upload_sha256
    if place is UNSET:
        content: list[object] = list(inline_entries(submitted))
    else:
        how = (submitted.list_format, submitted.list_column)
        content = [place, *(None if part is UNSET else part for part in how)]
    whole = [content, submitted.recipe, submitted.destination, deadline]
    return hashlib.sha256(_encoder.encode(whole)).hexdigest()


class FrozenList:
    """Collects a list into its frozen copy, packed as it grows: about a tenth of its size."""

    def __init__(self) -> None:
        self.images = 0
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._packed = bytearray()

    def add(self, entries: Sequence[ListEntry]) -> None:
        """Appends images; the first one has index 0."""
        self.images += len(entries)
        self._packed += self._packer.compress(_encoder.encode_lines(entries))

    def finish(self, header: FrozenHeader) -> bytes:
        """The whole file."""
        first = gzip.compress(_encoder.encode(header) + b"\n", _LEVEL, mtime=0)
        return first + self._packed + self._packer.flush()


def read_header(line: bytes) -> FrozenHeader:
    """The header, from the unpacked file's first line. Raises `msgspec.MsgspecError`."""
    return _header_decoder.decode(line)


def read_entries(lines: Iterable[bytes], start: int, size: int) -> Iterator[list[ListEntry]]:
    """The images from index `start`, `size` at a time, from the unpacked file after its header."""
    rest = islice(lines, start, None)
    while some := list(islice(rest, size)):
        yield _entry_decoder.decode_lines(b"".join(some))


def requests_of(
    header: FrozenHeader,
    first: int,
    entries: Sequence[ListEntry],
    now: datetime,
    sweep_round: int = 0,
) -> list[ImageRequested]:
    """The requests for consecutive images of a list, from index `first` on."""
    return [
        ImageRequested(
            customer_id=header.customer_id,
            job_id=header.job_id,
            index=index,
            url=entry.url,
            recipe=header.recipe,
            destination=header.destination,
            occurred_at=now,
            group=entry.group,
            position=entry.position,
            defect=entry.defect,
            round=sweep_round,
        )
        for index, entry in enumerate(entries, first)
    ]
