"""Lists in every format: the same entries however the bytes are cut, and bounds that hold."""

from __future__ import annotations

import csv
import gzip
import io
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from imagelane.contracts.events import ListSubmitted
from imagelane.core.failures import Code
from imagelane.intake.core.entries import ListEntry
from imagelane.intake.core.formats import CsvReader, FormatReader, TextReader
from imagelane.intake.core.json_format import JsonReader
from imagelane.intake.core.lists import ListLimits, ListReader, ListShape, shape_of
from imagelane.intake.core.refusals import ListRefusedError

MIB = 1 << 20
LIMITS = ListLimits(max_lines=100_000, max_bytes=256 * MIB)
TEXT = ListShape("text")
JSON = ListShape("json")
CSV = ListShape("csv")


def read(
    data: bytes | Iterable[bytes],
    shape: ListShape | None = None,
    limits: ListLimits = LIMITS,
    *,
    block_bytes: int = 65_536,
) -> list[ListEntry]:
    reader = ListReader(limits, shape or ListShape(), block_bytes=block_bytes)
    entries: list[ListEntry] = []
    for chunk in [data] if isinstance(data, bytes) else data:
        for some in reader.feed(chunk):
            entries += some
    for some in reader.finish():
        entries += some
    assert reader.count == len(entries)
    return entries


def urls(data: bytes | Iterable[bytes], shape: ListShape | None = None) -> list[str]:
    return [entry.url for entry in read(data, shape)]


def refusal(
    data: bytes | Iterable[bytes], shape: ListShape | None = None, limits: ListLimits = LIMITS
) -> tuple[str, str]:
    with pytest.raises(ListRefusedError) as caught:
        read(data, shape, limits)
    return caught.value.failure.code, caught.value.failure.reason


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


def all_entries(reader: FormatReader, pieces: list[str]) -> list[ListEntry] | str:
    entries: list[ListEntry] = []
    try:
        for piece in pieces:
            entries += reader.feed(piece)
        entries += reader.finish()
    except ListRefusedError as error:
        return str(error)
    return entries


fragments = st.sampled_from(
    [
        *'\n\r,;"[]{}: \t\\xé�\x00',
        "\r\n",
        '""',
        "url",
        "group",
        '"url"',
        '"urls":[',
        "https://a.example/1.jpg",
        '"https://a.example/2.jpg"',
        '{"url":"u","group":"g"}',
        "12",
        "null",
        "-",
        "\n\n",
        "x" * 3_000,
    ]
)
documents = st.lists(fragments, max_size=25).map("".join)
sizes = st.lists(st.integers(0, 40), max_size=30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("new_reader", "beginning"),
    [
        (TextReader, ""),
        (lambda: CsvReader("url"), ""),
        (lambda: CsvReader("url"), "url,group\n"),
        (JsonReader, ""),
        (JsonReader, "["),
        (JsonReader, '{"urls":['),
    ],
)
@settings(max_examples=150, deadline=None)
@given(document=documents, sizes=sizes)
def test_where_a_list_is_cut_never_changes_the_result(
    new_reader: Callable[[], FormatReader], beginning: str, document: str, sizes: list[int]
) -> None:
    text = beginning + document
    assert all_entries(new_reader(), cut(text, sizes)) == all_entries(new_reader(), [text])


@settings(max_examples=100, deadline=None)
@given(
    raw=st.lists(
        st.one_of(st.binary(max_size=20), st.sampled_from([b"\n", b"\xc3", b"\xef\xbb\xbf"]))
    ),
    packed=st.booleans(),
    size=st.integers(1, 30),
)
def test_where_bytes_are_cut_never_changes_the_result(
    raw: list[bytes], packed: bool, size: int
) -> None:
    data = b"https://a.example\n" + b"".join(raw)
    data = gzip.compress(data) if packed else data
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert read(pieces, TEXT, block_bytes=4) == read(data, TEXT)


@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(exclude_characters="\r\x00"), max_size=8)] * 2),
        max_size=8,
    ),
    sizes=sizes,
)
def test_what_a_csv_writer_writes_is_what_is_read(
    rows: list[tuple[str, str]], sizes: list[int]
) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([("name", "url"), *rows])
    entries = all_entries(CsvReader("url"), cut(written.getvalue(), sizes))
    assert isinstance(entries, list)
    assert [entry.url for entry in entries] == [
        url.strip(" \t\r").encode("utf-8", "replace").decode() for _, url in rows
    ]


def test_text_has_one_url_a_line_with_any_line_end() -> None:
    assert urls(b"\xef\xbb\xbfhttps://a\r\nhttps://b\n https://c \nhttps://d") == [
        "https://a",
        "https://b",
        "https://c",
        "https://d",
    ]


def test_blank_lines_do_not_count_and_equal_lines_do() -> None:
    assert urls(b"\n\nhttps://a\n\r\n  \t\nhttps://a\n\n") == ["https://a", "https://a"]


def test_every_kind_of_bad_line_keeps_its_index() -> None:
    lines = [
        b"https://a.example/0.jpg",
        b"https://a.example/" + b"x" * 5_000,
        b"https://a.example/\xff.jpg",
        b"https://a.example/\x00.jpg",
        b"https://a.example/4\rhttps://b.example/4",
        b"not a url at all",
        b" " * 5_000,
        b"https://a.example/7.jpg",
    ]
    entries = read(b"\n".join(lines), TEXT)
    assert [entry.defect is not UNSET for entry in entries] == [
        *(False, True, True, True, True, False, True, False)
    ]
    assert entries[1].url == lines[1].decode()[:2_048]
    assert entries[7].url == "https://a.example/7.jpg"


def test_a_line_without_end_is_one_defect_and_little_memory() -> None:
    tracemalloc.start()
    try:
        entries = read((b"x" * MIB for _ in range(64)), TEXT)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(entry.url) for entry in entries] == [2_048]
    assert peak_bytes < 12 * MIB


@pytest.mark.parametrize(
    "document",
    [
        b'["https://a", {"url": "https://b", "group": "g", "position": 2, "more": [1]}]',
        (
            b'\xef\xbb\xbf {"v": {"x": [1]}, "urls" : ["https://a",\n {"url": "https://b",'
            b' "group": "g", "position": 2}], "n": 12}\r\n'
        ),
    ],
)
@pytest.mark.parametrize("shape", [JSON, ListShape()])
def test_json_is_an_array_alone_or_as_urls_of_an_object(document: bytes, shape: ListShape) -> None:
    assert read(document, shape) == [
        ListEntry(url="https://a"),
        ListEntry(url="https://b", group="g", position=2),
    ]


def test_json_elements_of_any_other_kind_keep_their_index() -> None:
    entries = read(
        b'["https://a", 5, null, [], {}, {"url": 7}, {"url": "https://b", "group": ""},'
        b' {"url": "https://c", "position": "x"}, "a\x01b", "\\ud800", "https://d",'
        b' {"url": "https://e", "group": null, "position": null}]'
    )
    assert [entry.defect is UNSET for entry in entries] == [
        *(True, False, False, False, False, False, False, False, False, False, True, True)
    ]
    assert entries[10].url == "https://d"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b'["https://a"', "too early"),
        (b'["https://a" "https://b"]', "'\"' where one of ',]'"),
        (b'["https://a",]', "entry 1 is not JSON"),
        (b"[" + b"[" * 60_000 + b"]", "entry 0 is nested too deeply"),
        (b'["' + b"x" * 70_000 + b'"]', "entry 0 is not JSON, or has more than 65,536"),
        (b'["a"] x', "after its end"),
        (b'{"url": ["a"]}', "no `urls`"),
        (b"{}", "no `urls`"),
        (b'{"urls": "https://a"}', "where one of '['"),
        (b'{5: ["a"]}', "name is not a string"),
        (b'{"pad": "' + b"x" * 70_000 + b'", "urls": []}', "the member 'pad'"),
    ],
)
def test_what_is_not_json_refuses_the_list(document: bytes, told: str) -> None:
    code, why = refusal(document, ListShape())
    assert code == Code.LIST_UNREADABLE
    assert told in why


def test_text_that_is_said_to_be_json_refuses_the_list() -> None:
    assert refusal(b"https://a.example\n", JSON)[0] == Code.LIST_UNREADABLE


def test_csv_takes_the_named_column_and_group_and_position() -> None:
    document = (
        b'\xef\xbb\xbfid,Photo,group,POSITION\r\n1,https://a,g,1\r\n\r\n2,"https://b?x=1,2",,\r\n'
        b'3,"say ""cheese""\nhttps://c","g",\r\n4\r\n5,https://d,g,x\r\n'
    )
    entries = read(document, ListShape("csv", "photo"))
    assert [(entry.url, entry.group, entry.position) for entry in entries] == [
        ("https://a", "g", 1),
        ("https://b?x=1,2", UNSET, UNSET),
        ('say "cheese"\nhttps://c', "g", UNSET),
        ("", UNSET, UNSET),
        ("https://d", "g", UNSET),
    ]
    assert [entry.defect is UNSET for entry in entries] == [True, True, False, False, False]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_may_be_delimited_as_spreadsheets_do(delimiter: str) -> None:
    document = delimiter.join(["n", "url"]) + "\n" + delimiter.join(["1", "https://a"])
    assert urls(document.encode(), CSV) == ["https://a"]


def test_a_carriage_return_inside_a_csv_row_is_a_defect_of_that_row_alone() -> None:
    entries = read(b"url\nhttps://a\rb\nhttps://c\n", CSV)
    assert [entry.defect is UNSET for entry in entries] == [False, True]


def test_a_missing_column_refuses_the_list_and_shows_the_first_line() -> None:
    code, why = refusal(b"link,name\nhttps://a,b\n", CSV)
    assert code == Code.LIST_COLUMN_MISSING
    assert "`url`" in why
    assert "link,name" in why


@pytest.mark.parametrize(
    "rows",
    [b'https://a\n"https://b\nhttps://c\n', b'"' + b"x" * 70_000 + b'"\n', b'"' + b"\n" * 70_000],
)
def test_a_quote_that_never_ends_refuses_the_list(rows: bytes) -> None:
    assert refusal(b"url\n" + rows, CSV)[0] == Code.LIST_UNREADABLE


@pytest.mark.parametrize("shape", [TEXT, JSON, CSV, ListShape()])
@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_list_is_refused(data: bytes, shape: ListShape) -> None:
    assert refusal(data, shape)[0] == Code.LIST_EMPTY


@pytest.mark.parametrize(
    ("data", "shape"), [(b"[]", JSON), (b'{"urls":[]}', JSON), (b"url\n", CSV)]
)
def test_a_list_with_nothing_but_its_frame_is_empty(data: bytes, shape: ListShape) -> None:
    assert refusal(data, shape)[0] == Code.LIST_EMPTY


def document_of(count: int, form: str) -> bytes:
    lines = [f"https://images.example/photos/{number:06}.jpg" for number in range(count)]
    if form == "json":
        return json.dumps(lines).encode()
    return "\n".join((["url"] if form == "csv" else []) + lines).encode()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_100_000_lines_pass_and_one_more_is_refused(form: str) -> None:
    assert len(
        read(document_of(100_000, form), ListShape(column="url") if form != "csv" else CSV)
    ) == (100_000)
    code, why = refusal(document_of(100_001, form), CSV if form == "csv" else None)
    assert code == Code.LIST_TOO_LONG
    assert "100,000" in why


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_time_grows_with_the_list_and_not_with_its_square(form: str) -> None:
    shape = CSV if form == "csv" else ListShape()

    def seconds(count: int) -> float:
        data = document_of(count, form)
        chunks = [data[at : at + 16_384] for at in range(0, len(data), 16_384)]
        started_at = time.process_time()
        read(chunks, shape)
        return time.process_time() - started_at

    assert seconds(100_000) < 30 * min(seconds(10_000) for _ in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_memory_does_not_grow_with_the_list(form: str) -> None:
    reader = ListReader(LIMITS, CSV if form == "csv" else ListShape())
    data = document_of(100_000, form)
    tracemalloc.start()
    try:
        for at in range(0, len(data), 16_384):
            for _ in reader.feed(data[at : at + 16_384]):
                pass
        for _ in reader.finish():
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.count == 100_000
    assert peak_bytes < 3 * MIB


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_gzip_is_seen_by_itself(form: str) -> None:
    shape = CSV if form == "csv" else ListShape()
    data = document_of(500, form)
    assert read(gzip.compress(data), shape) == read(data, shape)


def test_gzip_may_have_several_members_and_padding() -> None:
    data = gzip.compress(b"https://a\nhttp") + gzip.compress(b"s://b\n") + b"\0" * 512
    assert urls(data) == ["https://a", "https://b"]


def damaged(data: bytes) -> bytes:
    return (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :]
    )


@pytest.mark.parametrize(
    "spoil", [damaged, lambda data: data[:-1], lambda data: data[:20], lambda data: data + b"junk"]
)
def test_damaged_gzip_refuses_the_list(spoil: Callable[[bytes], bytes]) -> None:
    code, why = refusal(spoil(gzip.compress(document_of(2_000, "text"))))
    assert code == Code.LIST_UNREADABLE
    assert "gzip" in why


@pytest.mark.parametrize("filling", [b"\n", b" ", b"x"])
@pytest.mark.parametrize("shape", [TEXT, JSON, CSV])
def test_a_gzip_bomb_is_stopped_at_the_bound_in_little_memory(
    filling: bytes, shape: ListShape
) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(filling * MIB) for _ in range(40)) + packer.flush()
    assert len(bomb) < 64_000
    tracemalloc.start()
    try:
        code, _ = refusal(bomb, shape, ListLimits(max_lines=100_000, max_bytes=32 * MIB))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert code in {Code.LIST_TOO_LARGE, Code.LIST_UNREADABLE}
    assert peak_bytes < 4 * MIB


def test_a_swarm_of_tiny_gzip_members_is_refused() -> None:
    code, why = refusal(gzip.compress(b"") * 10_001)
    assert code == Code.LIST_UNREADABLE
    assert "members" in why


def test_a_list_beyond_the_bytes_allowed_is_refused_with_the_figure() -> None:
    code, why = refusal(b"https://a\n" * 200, TEXT, ListLimits(max_lines=1_000, max_bytes=1_999))
    assert code == Code.LIST_TOO_LARGE
    assert "1,999" in why


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PK\x03\x04 and so on", "zip"),
        (b"%PDF-1.7", "PDF"),
        ("https://a".encode("utf-16"), "UTF-16"),
    ],
)
def test_files_that_are_no_lists_are_refused_by_name(data: bytes, told: str) -> None:
    code, why = refusal(data)
    assert code == Code.LIST_UNREADABLE
    assert told in why


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([TEXT, JSON, CSV, ListShape()]))
def test_whatever_the_bytes_are_the_only_error_is_a_refusal(data: bytes, shape: ListShape) -> None:
    with suppress(ListRefusedError):
        read(data, shape, block_bytes=7)


@pytest.mark.parametrize(
    ("said", "content_type", "url", "expected"),
    [
        ({}, None, "https://a/list", ListShape()),
        ({}, "text/plain; charset=utf-8", "https://a/list.txt", ListShape()),
        ({}, "text/csv; header=present", "https://a/list", CSV),
        ({}, None, "https://a/list.CSV?x=y", CSV),
        ({}, "application/gzip", "https://a/list.csv.gz", CSV),
        ({"list_column": "src"}, None, "https://a/list", ListShape("csv", "src")),
        ({"list_format": "text"}, "text/csv", "https://a/list.csv", TEXT),
        ({"list_format": "json"}, "text/html", "https://a/list", JSON),
    ],
)
def test_the_format_is_what_the_submission_says_else_what_the_server_says(
    said: dict[str, str], content_type: str | None, url: str, expected: ListShape
) -> None:
    submitted = ListSubmitted(customer_id="acme", list_url="https://a", **said)  # type: ignore[arg-type] # by name
    assert shape_of(submitted, content_type=content_type, final_url=url) == expected


def test_a_web_page_is_no_list() -> None:
    submitted = ListSubmitted(customer_id="acme", list_url="https://a")
    with pytest.raises(ListRefusedError, match="web page"):
        shape_of(submitted, content_type="text/html; charset=utf-8", final_url="https://a")
