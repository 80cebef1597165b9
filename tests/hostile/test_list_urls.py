"""A `list_url` is as untrusted as an image's URL: the same walls and limits, through the real list fetch."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import pytest
from pydantic import SecretStr
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import QUICK
from tests.hostile.servers import (
    Answer,
    Names,
    chunk,
    chunked,
    drips,
    listening,
    redirect,
    response,
    says,
)
from tests.hostile.tripwire import Tripwire

from imagelane.contracts.events import ListSubmitted
from imagelane.core.failures import Code
from imagelane.intake.core.refusals import ListRefusedError
from imagelane.intake.list_fetch import ListFetcher
from imagelane.intake.settings import IntakeSettings
from imagelane.intake.uploads import UploadedLists
from imagelane.platform.guarded_http import GuardedClient, HttpGuardSettings

UNREADABLE: Final = Code.LIST_UNREADABLE
MIB: Final = 1 << 20
NO_UPLOADS: Final = cast("UploadedLists", None)


async def fetch(url: str, names: Names | None = None) -> None:
    """Raises `ListRefusedError`, as intake does before it refuses the job."""
    settings = IntakeSettings(
        deployment_secret=SecretStr("s" * 32),
        max_list_bytes=2 * MIB,
        max_fetched_bytes=MIB,
        max_list_lines=1_000,
        fetch_attempts=2,
        fetch_backoff_seconds=0.02,
    )
    async with GuardedClient(HttpGuardSettings(**QUICK), lookup=names or Names()) as client:
        submitted = ListSubmitted(customer_id="acme", list_url=url)
        await ListFetcher(client, NO_UPLOADS, settings).images(submitted)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2/list.txt",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://kafka/list.txt",
        "http://user:pass@shop.example.com/list.txt",
        "http://shop.example.com:9092/",
        "file:///etc/passwd",
    ],
)
async def test_a_list_is_not_fetched_from_where_no_image_would_be(
    url: str, wire: Tripwire, show_row: ShowRow
) -> None:
    names = Names()
    with pytest.raises(ListRefusedError) as refused:
        await fetch(url, names)
    show_row("U lists", url, "no look-up, no socket", refused.value.failure.code)
    assert refused.value.failure.code == UNREADABLE
    assert (wire.dialled, names.asked.total()) == ([], 0)


@dataclass(frozen=True)
class Row:
    id: str
    what: str
    answer: Callable[[], Answer]
    code: Code
    tries: int = 1


BOMB: Final = gzip.compress(b"\n" * 200 * MIB)
DEEP: Final = b"[" * 100_000
ROWS: Final = [
    Row("R01", "a redirect inside", lambda: says(redirect("http://169.254.169.254/")), UNREADABLE),
    Row("B01", "200 MB of empty lines in gzip", lambda: says(response(BOMB)), Code.LIST_TOO_LARGE),
    Row(
        "B02",
        "a content encoding",
        lambda: says(response(b"x", "Content-Encoding: gzip")),
        UNREADABLE,
    ),
    Row(
        "B03",
        "cut off",
        lambda: says(response(b"http://a.b/1\n", length=99), then_close=True),
        UNREADABLE,
        2,
    ),
    Row(
        "B05",
        "without end",
        lambda: drips(chunked(), chunk(b"http://a.b/1\n"), 0),
        Code.LIST_TOO_LONG,
    ),
    Row(
        "B05",
        "one line without end",
        lambda: drips(chunked(), chunk(b"a" * 9_999), 0),
        Code.LIST_TOO_LARGE,
    ),
    Row("B06", "10 GB announced", lambda: says(response(b"", length=10**10)), Code.LIST_TOO_LARGE),
    Row("B07", "drips", lambda: drips(response(length=10**6), b"x", 0.05), UNREADABLE, 2),
    Row("B08", "silence", lambda: drips(b"", b"", 1), UNREADABLE, 2),
    Row(
        "B09",
        "103 as fast as it goes",
        lambda: drips(b"", b"HTTP/1.1 103 E\r\n\r\n" * 999, 0),
        UNREADABLE,
    ),
    Row(
        "B15",
        "a login page",
        lambda: says(response(b"<html>", "Content-Type: text/html")),
        UNREADABLE,
    ),
    Row("B15", "empty", lambda: says(response(b"")), Code.LIST_EMPTY),
    Row("B16", "a PDF", lambda: says(response(b"%PDF-1.7")), UNREADABLE),
    Row("F23", "JSON, 100,000 deep", lambda: says(response(DEEP)), UNREADABLE),
    Row(
        "F23",
        "a number of 60,000 digits",
        lambda: says(response(b"[" + b"9" * 60_000 + b"]")),
        UNREADABLE,
    ),
    Row(
        "F24",
        "a quote that never ends",
        lambda: says(response(b'url\n"' + b"a" * 99_999, "Content-Type: text/csv")),
        UNREADABLE,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.id} {row.what}")
async def test_a_hostile_list_is_refused_with_a_code(
    row: Row, wire: Tripwire, show_row: ShowRow
) -> None:
    async with listening(row.answer()) as server:
        wire.own.add(server.place)
        with pytest.raises(ListRefusedError) as refused:
            await asyncio.wait_for(fetch(f"{server.base}/list"), 10)
    show_row(
        f"{row.id} list",
        row.what,
        f"tried {len(server.requests)} times",
        refused.value.failure.code,
    )
    assert refused.value.failure.code == row.code
    assert len(server.requests) == row.tries
