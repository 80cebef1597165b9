"""What is fuzzed: each target takes any bytes and raises nothing; whatever comes out of it is a crash."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal

from imagelane.core.admission import AdmissionPolicy, UrlRefusedError, admit, admit_redirect
from imagelane.core.http_answers import MAX_RETRY_AFTER_SECONDS, refusal_of, retry_after_seconds
from imagelane.core.image_formats import HEAD_BYTES, format_of
from imagelane.intake.core.entries import ListEntry
from imagelane.intake.core.gunzip import Gunzip
from imagelane.intake.core.lists import ListLimits, ListReader, ListShape
from imagelane.intake.core.refusals import ListRefusedError
from imagelane.platform.http_floods import FloodGuard

POLICY: Final = AdmissionPolicy()
BASE: Final = admit("https://shop.example.com/a/b.jpg?c", POLICY)
LIMITS: Final = ListLimits(max_lines=1_000, max_bytes=1 << 20)
NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)
FORMATS: Final[tuple[Literal["text", "json", "csv"] | None, ...]] = (None, "text", "json", "csv")


def admission(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for one in (text, f"http://{text}", f"http://shop.example.com{text}"):
        with suppress(UrlRefusedError):
            found = admit(one, POLICY)
            again = admit(str(found.url), POLICY)
            assert (again.host, again.port) == (found.host, found.port) == _seen(found.url)
        with suppress(UrlRefusedError):
            hop = admit_redirect(BASE, one, POLICY)
            assert hop.url.scheme == "https"


def _seen(url: object) -> tuple[object, object]:
    return getattr(url, "raw_host", None), getattr(url, "port", None)


def lists(data: bytes) -> None:
    """However the bytes are cut, the entries or the refusal are the same."""
    shape = ListShape(FORMATS[data[0] % len(FORMATS)] if data else None)
    assert _read(data[1:], shape, 1 << 16) == _read(data[1:], shape, 1 + len(data) % 7)


def _read(data: bytes, shape: ListShape, step: int) -> list[ListEntry] | str:
    reader = ListReader(LIMITS, shape, block_bytes=step)
    entries: list[ListEntry] = []
    try:
        for at in range(0, len(data), step):
            for some in reader.feed(data[at : at + step]):
                entries.extend(some)
        for some in reader.finish():
            entries.extend(some)
    except ListRefusedError:
        return "refused"  # which of two reasons is met first may depend on the cut
    return entries


def unpacking(data: bytes) -> None:
    """As they stand, and packed with a part of them broken."""
    packed = bytearray(gzip.compress(data, 1, mtime=0))
    if data:
        packed[data[0] % len(packed)] ^= data[-1]
    for one in (data, b"\x1f\x8b\x08\x00" + data, bytes(packed)):
        unpacked = 0
        with suppress(ListRefusedError):
            gunzip = Gunzip()
            for at in range(0, len(one), 64):
                for piece in gunzip.feed(one[at : at + 64]):
                    unpacked += len(piece)
                    if unpacked > LIMITS.max_bytes:
                        return
            gunzip.finish()


def headers(data: bytes) -> None:
    text = data.decode("latin-1")
    seconds = retry_after_seconds(text, NOW)
    assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER_SECONDS
    refusal_of(int.from_bytes(data[:2], "big"), asks_to_wait=False)
    format_of(data[:HEAD_BYTES])


_loop: Final = asyncio.new_event_loop()


def answers(data: bytes) -> None:
    """What a server sends, as the connection takes it: no error leaves it."""
    connection = FloodGuard(_loop)
    connection.set_response_params(read_until_eof=True, auto_decompress=False)
    step = 1 + (data[0] if data else 0)
    for at in range(0, len(data), step):
        connection.data_received(data[at : at + step])
    connection.connection_lost(None)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "admission": admission,
    "lists": lists,
    "unpacking": unpacking,
    "headers": headers,
    "answers": answers,
}
