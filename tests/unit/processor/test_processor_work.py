"""What a `downloaded` record asks for, and what is told in the end."""

from datetime import UTC, datetime

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.events import ImageDownloaded
from imagelane.contracts.parts import Failure, Original
from imagelane.core.destinations import Destination
from imagelane.core.failures import Code
from imagelane.processor.core.work import ImageWork, check, processed, work_of

JOB = "a" * 32
NOW = datetime(2026, 11, 21, tzinfo=UTC)
DESTINATIONS = {"main": Destination("main", "p/", "https://cdn.example")}
OK = ImageDownloaded(
    customer_id="acme",
    job_id=JOB,
    index=7,
    url="https://example.com/a.jpg",
    recipe="default",
    destination="main",
    status="ok",
    occurred_at=NOW,
    seconds=1.0,
    original=Original(key=f"originals/{JOB}/7", size_bytes=3, sha256="0" * 64),
    group="g",
    position=4,
)
NOT_FOUND = Failure(code="not_found", reason="gone")
FAILED = replace(OK, status="failed", original=UNSET, failure=NOT_FOUND)


def test_an_original_is_work() -> None:
    work = work_of(OK, DESTINATIONS)
    assert isinstance(work, ImageWork)
    assert work.original_key == f"originals/{JOB}/7"
    assert work.key(work.recipe.outputs[0]) == f"p/{JOB}/7/image.jpg"


def test_a_failed_download_passes_with_its_own_reason() -> None:
    assert work_of(FAILED, DESTINATIONS) is NOT_FOUND


@pytest.mark.parametrize(
    ("field", "code"),
    [("recipe", Code.UNKNOWN_RECIPE), ("destination", Code.UNKNOWN_DESTINATION)],
)
def test_an_unknown_name_fails_the_image(field: str, code: Code) -> None:
    why = work_of(replace(OK, **{field: "no-such"}), DESTINATIONS)
    assert isinstance(why, Failure)
    assert why.code == code


@pytest.mark.parametrize(
    ("event", "key"),
    [
        (OK, b"other"),
        (OK, None),
        (replace(OK, original=UNSET), b"acme"),
        (replace(FAILED, failure=UNSET), b"acme"),
        (replace(OK, original=Original(key="lists/x", size_bytes=1, sha256="0" * 64)), b"acme"),
        (replace(OK, index=8), b"acme"),
    ],
)
def test_a_record_that_contradicts_itself_is_unreadable(
    event: ImageDownloaded, key: bytes | None
) -> None:
    with pytest.raises(UnreadableRecordError):
        check(event, key)


def test_records_that_agree_with_themselves_are_readable() -> None:
    check(OK, b"acme")
    check(FAILED, b"acme")


def test_what_is_told_carries_the_image_through() -> None:
    work = work_of(OK, DESTINATIONS)
    assert isinstance(work, ImageWork)
    output = work.told(work.recipe.outputs[0], 1024, 768, 130_000)
    event = processed(OK, [output], seconds=0.05049, now=NOW)
    assert (event.status, event.seconds, event.failure) == ("ok", 0.05, UNSET)
    assert (event.customer_id, event.job_id, event.index) == ("acme", JOB, 7)
    assert (event.group, event.position, event.url) == ("g", 4, OK.url)
    assert event.outputs == [output]
    assert output.url == f"https://cdn.example/{JOB}/7/image.jpg"
    assert processed(FAILED, NOT_FOUND, seconds=0, now=NOW).status == "failed"
