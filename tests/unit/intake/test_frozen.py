"""The frozen copy: what goes in comes out, and what counts as the same content."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.contracts.events import ListSubmitted
from imagelane.contracts.parts import ListedImage
from imagelane.intake.core.entries import ListEntry, entry_of
from imagelane.intake.core.frozen import (
    FrozenHeader,
    FrozenList,
    fingerprint_of,
    inline_entries,
    read_entries,
    read_header,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def header(images: int) -> FrozenHeader:
    return FrozenHeader(
        customer_id="acme",
        job_id="a" * 32,
        recipe="default",
        destination="default",
        images=images,
        fingerprint="f",
        accepted_at=NOON,
    )


def frozen(parts: list[list[ListEntry]]) -> bytes:
    copy = FrozenList()
    for part in parts:
        copy.add(part)
    return copy.finish(header(copy.images))


entries = st.builds(
    entry_of,
    st.text(max_size=10),
    st.text(min_size=1, max_size=3),
    st.integers(0, 2**31 - 1),
)


@given(st.lists(st.lists(entries, max_size=4), max_size=5), st.integers(0, 20), st.integers(1, 5))
def test_the_copy_gives_back_the_list_from_any_index(
    parts: list[list[ListEntry]], start: int, size: int
) -> None:
    whole = [entry for part in parts for entry in part]
    with gzip.open(io.BytesIO(frozen(parts))) as lines:
        assert read_header(lines.readline()) == header(len(whole))
        read = list(read_entries(lines, start, size))
    assert [entry for some in read for entry in some] == whole[start:]
    assert all(0 < len(some) <= size for some in read)


def test_a_person_can_read_it_with_zcat() -> None:
    lines = gzip.decompress(frozen([[entry_of("https://a", "g", 1)]])).splitlines()
    assert b'"customer_id":"acme"' in lines[0]
    assert lines[1] == b'{"url":"https://a","group":"g","position":1}'


def test_the_copy_of_100_000_urls_is_about_a_tenth_of_them() -> None:
    urls = [f"https://images.example/photos/2026/{n:06}.jpg?w=1600" for n in range(100_000)]
    copy = frozen([[entry_of(url) for url in urls[at : at + 500]] for at in range(0, 100_000, 500)])
    assert len(copy) < sum(map(len, urls)) / 5


def submitted(**changed: Any) -> ListSubmitted:
    return ListSubmitted(**({"customer_id": "acme", "urls": ["https://a", "https://b"]} | changed))


def referenced(**changed: Any) -> ListSubmitted:
    return ListSubmitted(**({"customer_id": "acme", "list_url": "https://a"} | changed))


@pytest.mark.parametrize(
    "other",
    [
        submitted(urls=["https://a", ListedImage(url="https://b")]),
        submitted(recipe="default"),
        submitted(notify_url="https://n"),
        submitted(idempotency_key="k"),
    ],
)
def test_the_same_content_in_another_spelling_is_the_same(other: ListSubmitted) -> None:
    assert fingerprint_of(other) == fingerprint_of(submitted())


def test_a_deadline_is_an_instant_whatever_its_offset() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert fingerprint_of(submitted(deadline=NOON)) == fingerprint_of(submitted(deadline=elsewhere))


@pytest.mark.parametrize(
    "other",
    [
        submitted(urls=["https://b", "https://a"]),
        submitted(urls=["https://a"]),
        submitted(urls=["https://a", ListedImage(url="https://b", group="g")]),
        submitted(recipe="original-size"),
        submitted(destination="elsewhere"),
        submitted(deadline=NOON),
        referenced(),
        referenced(list_url="https://b"),
        referenced(list_format="csv"),
        referenced(list_format="csv", list_column="x"),
    ],
)
def test_other_content_has_another_fingerprint(other: ListSubmitted) -> None:
    everything = [submitted(), referenced(deadline=NOON), referenced(recipe="original-size")]
    assert fingerprint_of(other) not in {fingerprint_of(one) for one in everything}


def test_inline_entries_keep_their_index_when_they_are_no_urls() -> None:
    images = inline_entries(
        submitted(urls=["https://a", "", "x" * 3_000, ListedImage(url="https://b")])
    )
    assert [len(image.url) for image in images] == [9, 0, 2_048, 9]
