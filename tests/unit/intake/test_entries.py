"""What a single entry of a list may be, and what is kept of one that is no URL."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from imagelane.contracts.events import ImageRequested
from imagelane.core.failures import Code
from imagelane.intake.core.entries import ListEntry, entry_of


def defect_of(entry: ListEntry) -> str:
    assert entry.defect is not UNSET
    assert entry.defect.code == Code.URL_REFUSED
    return entry.defect.reason


def test_an_ordinary_entry_is_kept_as_it_is() -> None:
    assert entry_of("https://a.example/ü.jpg", "album", 7) == ListEntry(
        url="https://a.example/ü.jpg", group="album", position=7
    )


@pytest.mark.parametrize(
    ("url", "told", "kept"),
    [
        ("", "empty", ""),
        ("https://a.example/" + "x" * 3_000, "2,048", ("https://a.example/" + "x" * 3_000)[:2_048]),
        ("https://a\x00b.example", "U+0000", "https://a\x00b.example"),
        ("https://a.example/\x7f", "U+007F", "https://a.example/\x7f"),
        ("https://a.example/\x85", "U+0085", "https://a.example/\x85"),
        ("https://a.example/�", "UTF-8", "https://a.example/�"),
        ("https://a.example/\ud800", "UTF-8", "https://a.example/?"),
        (None, "neither a string", ""),
        (5, "neither a string", ""),
        ({"url": "x"}, "neither a string", ""),
    ],
)
def test_what_no_event_can_carry_is_a_defect(url: object, told: str, kept: str) -> None:
    entry = entry_of(url)
    assert told in defect_of(entry)
    assert entry.url == kept


@pytest.mark.parametrize("group", ["", "x" * 256, 5, ["a"], "\ud800"])
def test_a_group_out_of_bounds_is_a_defect(group: object) -> None:
    entry = entry_of("https://a.example", group, 3)
    assert "group" in defect_of(entry)
    assert (entry.group, entry.position) == (UNSET, 3)


@pytest.mark.parametrize("position", [-1, 2**31, 1.5, True, "3", None])
def test_a_position_out_of_bounds_is_a_defect(position: object) -> None:
    entry = entry_of("https://a.example", "album", position)
    assert "position" in defect_of(entry)
    assert (entry.group, entry.position) == ("album", UNSET)


def test_exactly_2048_characters_are_a_url() -> None:
    assert entry_of("x" * 2_048).defect is UNSET


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=30),
    st.text("\ud800\udfffab\x00", max_size=5),
    st.lists(st.integers(), max_size=2),
)


@given(anything, anything, anything)
def test_whatever_an_entry_holds_a_valid_event_can_be_made_of_it(
    url: object, group: object, position: object
) -> None:
    entry = entry_of(url, group, position)
    event = {
        "type": "image.requested.v1",
        "customer_id": "acme",
        "job_id": "a" * 32,
        "index": 0,
        "recipe": "default",
        "destination": "default",
        "occurred_at": "2026-11-21T12:00:00Z",
        **msgspec.to_builtins(entry),
    }
    assert msgspec.json.decode(msgspec.json.encode(event), type=ImageRequested).url == entry.url
