"""Which records of `urls` are submissions, and which job each of them is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.parts import ListedImage
from imagelane.intake.core.submissions import read_submission
from imagelane.platform.records import Record

SECRET = b"a secret of the deployment"
PLAIN = {"customer_id": "acme", "urls": ["https://images.example/1.jpg"]}
BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/shop")]
STRUCTURED = [("Content-Type", b"application/cloudevents+json; charset=utf-8")]


def record(
    value: object, headers: list[tuple[str, bytes]] | None = None, *, offset: int = 5
) -> Record:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Record("urls", 2, offset, None, raw, headers or [], 0)


def job_id(
    value: object, headers: list[tuple[str, bytes]] | None = None, *, offset: int = 5
) -> str:
    return read_submission(record(value, headers, offset=offset)).job_id(SECRET)


def reason(value: object, headers: list[tuple[str, bytes]] | None = None) -> str:
    with pytest.raises(UnreadableRecordError) as caught:
        read_submission(record(value, headers))
    return str(caught.value)


def test_a_line_of_json_is_enough() -> None:
    submitted = read_submission(record(PLAIN)).submitted
    assert submitted.customer_id == "acme"
    assert submitted.urls == ["https://images.example/1.jpg"]
    assert (submitted.recipe, submitted.destination) == ("default", "default")


def test_images_may_say_more_than_their_url() -> None:
    value = {
        "customer_id": "acme",
        "urls": [{"url": "https://a.example", "group": "g", "position": 3}],
    }
    assert read_submission(record(value)).submitted.urls == [
        ListedImage(url="https://a.example", group="g", position=3)
    ]


def test_a_structured_event_is_the_same_job_as_a_binary_one() -> None:
    envelope = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "t", "data": PLAIN}
    assert job_id(envelope, STRUCTURED) == job_id(PLAIN, BINARY)


def test_without_a_key_the_event_is_the_job() -> None:
    other_id = [*BINARY[:1], ("ce_id", b"8"), BINARY[2]]
    assert job_id(PLAIN, BINARY, offset=1) == job_id(PLAIN, BINARY, offset=2)
    assert job_id(PLAIN, BINARY) != job_id(PLAIN, other_id)


def test_without_key_and_event_the_place_in_the_topic_is_the_job() -> None:
    assert job_id(PLAIN, offset=1) == job_id(PLAIN, offset=1)
    assert job_id(PLAIN, offset=1) != job_id(PLAIN, offset=2)


def test_with_a_key_nothing_but_customer_and_key_is_the_job() -> None:
    keyed = PLAIN | {"idempotency_key": "k"}
    assert job_id(keyed, BINARY, offset=1) == job_id(keyed | {"urls": ["other"]}, offset=2)
    assert job_id(keyed) != job_id(keyed | {"customer_id": "globex"})
    assert job_id(keyed) != job_id(keyed | {"idempotency_key": "k2"})


def test_the_job_id_is_derived_as_its_docstring_says() -> None:
    digest = hmac.new(SECRET, b"3:key4:acme1:k", hashlib.sha256).digest()[:20]
    expected = base64.b32encode(digest).decode().lower()
    assert job_id(PLAIN | {"idempotency_key": "k"}) == expected
    assert len(expected) == 32


def test_a_refused_repetition_has_an_id_of_its_own() -> None:
    submission = read_submission(record(PLAIN | {"idempotency_key": "k"}))
    assert submission.conflict_id(SECRET, "ab") != submission.job_id(SECRET)
    assert submission.conflict_id(SECRET, "ab") != submission.conflict_id(SECRET, "cd")


@given(st.text(min_size=1, max_size=3), st.text(min_size=1, max_size=3), st.text(max_size=2))
def test_shifting_text_between_customer_and_key_makes_another_job(
    customer: str, key: str, moved: str
) -> None:
    values = [
        {"customer_id": "a" + customer + moved, "urls": ["u"], "idempotency_key": key},
        {"customer_id": "a" + customer, "urls": ["u"], "idempotency_key": moved + key},
    ]
    try:
        ids = {job_id(value) for value in values}
    except UnreadableRecordError:  # a customer ID with control characters
        return
    assert len(ids) == (2 if moved else 1)


@pytest.mark.parametrize(
    ("value", "headers", "named"),
    [
        (b"", None, "truncated"),
        (b"not json", None, "malformed"),
        (b"[" * 5_000, None, "array"),
        ({"urls": ["u"]}, None, "`customer_id`"),
        ({"customer_id": "", "urls": ["u"]}, None, "$.customer_id"),
        ({"customer_id": "x" * 256, "urls": ["u"]}, None, "$.customer_id"),
        ({"customer_id": "a\nb", "urls": ["u"]}, None, "$.customer_id"),
        ({"customer_id": "acme"}, None, "urls, list_url: exactly one of them is needed, none"),
        ({"customer_id": "acme", "upload_sha256": "0" * 64}, None, "upload_sha256: it comes with"),
        (
            PLAIN | {"upload_sha256": "0" * 64, "idempotency_key": "k"},
            None,
            "needed, urls and upload_sha256 given",
        ),
        (PLAIN | {"list_url": "https://a.example"}, None, "needed, urls and list_url given"),
        (PLAIN | {"urls": []}, None, "$.urls"),
        (PLAIN | {"urls": ["u", 5]}, None, "$.urls[1]"),
        (PLAIN | {"urls": [{"group": "g"}]}, None, "$.urls[0]"),
        (PLAIN | {"recipe": "No Such"}, None, "$.recipe"),
        (PLAIN | {"deadline": "tomorrow"}, None, "$.deadline"),
        (PLAIN | {"deadline": "2026-11-21T12:00:00"}, None, "$.deadline"),
        ({"customer_id": "acme", "list_url": "ftp://a.example"}, None, "$.list_url"),
        (PLAIN, [("ce_specversion", b"0.3"), *BINARY[1:]], "specversion"),
        (PLAIN, BINARY[:2], "source"),
        (PLAIN, [BINARY[0], BINARY[2]], "id"),
        (PLAIN, [*BINARY[:2], ("ce_source", b"\xff")], "ce_source"),
        (PLAIN, STRUCTURED, "`specversion`"),
        (PLAIN, [("content-type", b"application/cloudevents-batch+json")], "content-type"),
        ({"specversion": "1.0", "id": "1", "source": "s"}, STRUCTURED, "`data`"),
        (
            {"specversion": "1.0", "id": "1", "source": "s", "data": {"urls": ["u"]}},
            STRUCTURED,
            "data: Object missing required field `customer_id`",
        ),
    ],
)
def test_what_is_no_submission_is_unreadable_and_names_the_field(
    value: object, headers: list[tuple[str, bytes]] | None, named: str
) -> None:
    assert named in reason(value, headers)


def test_a_record_without_a_value_is_unreadable() -> None:
    with pytest.raises(UnreadableRecordError, match="no value"):
        read_submission(Record("urls", 0, 0, b"acme", None, [], 0))


def test_ten_thousand_urls_are_taken_inline_and_one_more_is_told_to_use_list_url() -> None:
    assert read_submission(record(PLAIN | {"urls": ["u"] * 10_000})).submitted.urls
    told = reason(PLAIN | {"urls": ["u"] * 10_001})
    assert "10,001" in told
    assert "10,000" in told
    assert "list_url" in told


def test_a_record_beyond_900_000_bytes_is_told_to_use_list_url() -> None:
    padding = 900_000 - len(json.dumps(PLAIN | {"pad": ""}))
    assert job_id(PLAIN | {"pad": "x" * padding})
    told = reason(PLAIN | {"pad": "x" * (padding + 1)})
    assert "900,001" in told
    assert "list_url" in told


@given(
    st.binary(max_size=80),
    st.lists(
        st.tuples(
            st.sampled_from(["ce_specversion", "ce_id", "ce_source", "content-type"]),
            st.one_of(
                st.binary(max_size=10), st.sampled_from([b"1.0", b"application/cloudevents+json"])
            ),
        ),
        max_size=4,
    ),
)
def test_whatever_the_bytes_are_the_only_error_is_unreadable(
    value: bytes, headers: list[tuple[str, bytes]]
) -> None:
    with pytest.raises(UnreadableRecordError):
        read_submission(record(value, headers))
