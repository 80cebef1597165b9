"""What a download's span says of its URL, and what is kept of a request that waits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imagelane.contracts.codec import Headers
from imagelane.contracts.events import ImageDownloaded
from imagelane.contracts.parts import Original
from imagelane.downloader.spans import DOWNLOAD, without_value
from imagelane.platform.records import Record


def downloaded(url: str) -> ImageDownloaded:
    return ImageDownloaded(
        customer_id="acme",
        job_id="a" * 32,
        index=0,
        url=url,
        recipe="default",
        destination="default",
        status="ok",
        occurred_at=datetime.now(UTC),
        seconds=0.1,
        original=Original(key="k", size_bytes=7, sha256="0" * 64),
    )


def test_of_a_url_only_scheme_and_server_are_told() -> None:
    event = downloaded("https://me:secret@img.example:8443/secret/a.jpg?sig=secret#secret")
    assert DOWNLOAD.describe(event) == {
        "url.scheme": "https",
        "server.address": "img.example",
        "imagelane.original_bytes": 7,
    }


@pytest.mark.parametrize("line", ["no url", "http://[::1", ""])
def test_of_a_line_that_is_no_url_nothing_is_told(line: str) -> None:
    assert set(DOWNLOAD.describe(downloaded(line))) == {"imagelane.original_bytes"}


@pytest.mark.parametrize(("flags", "kept"), [(b"01", True), (b"00", False)])
def test_a_request_that_waits_keeps_the_span_before_it_if_that_was_recorded(
    flags: bytes, *, kept: bool
) -> None:
    parent = ("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-" + flags)
    headers: Headers = [("ce_id", b"1"), parent]
    record = Record("requested", 0, 3, b"acme", b"{}", headers, 0)
    waiting = without_value(record)
    assert waiting.value is None
    assert waiting.headers == ([parent] if kept else [])
    assert waiting.offset == 3
