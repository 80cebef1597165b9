"""Uploaded lists: an event leads to what was uploaded with it, and to nothing else; then it is forgotten."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from imagelane.contracts.events import ListSubmitted
from imagelane.core.failures import Code
from imagelane.core.identity import upload_key
from imagelane.intake.core.frozen import fingerprint_of
from imagelane.intake.core.lists import ListLimits
from imagelane.intake.core.refusals import ListRefusedError
from imagelane.intake.uploads import UploadedLists
from imagelane.platform.directory_store import DirectoryStore

SECRET = b"a secret of 16+ bytes"
LINES = b"url\nhttps://a.example/0.jpg\nhttps://a.example/1.jpg\n"


@dataclass(frozen=True)
class Place:
    """A private store, and who reads uploads from it."""

    root: Path
    uploads: UploadedLists

    def put(self, content: bytes, **changed: object) -> ListSubmitted:
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.root / upload_key(SECRET, "acme", "k-1", sha256)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        made = ListSubmitted(customer_id="acme", idempotency_key="k-1", upload_sha256=sha256)
        return msgspec.structs.replace(made, **changed)

    async def refused(self, submitted: ListSubmitted) -> str:
        with pytest.raises(ListRefusedError) as error:
            await self.uploads.images(submitted)
        return error.value.failure.code


@pytest.fixture
def place(tmp_path: Path) -> Place:
    limits = ListLimits(max_lines=100, max_bytes=10_000)
    return Place(tmp_path, UploadedLists(DirectoryStore(tmp_path), limits, secret=SECRET))


async def test_an_upload_is_read_as_its_event_says(place: Place) -> None:
    assert (await place.uploads.images(place.put(LINES))).images == 3
    assert (await place.uploads.images(place.put(LINES, list_format="csv"))).images == 2
    assert (await place.uploads.images(place.put(gzip.compress(LINES)))).images == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"customer_id": "umbra"},
        {"idempotency_key": "k-2"},
        {"upload_sha256": "0" * 64},
    ],
)
async def test_an_event_of_another_submission_does_not_lead_there(
    place: Place, changed: dict[str, str]
) -> None:
    assert await place.refused(place.put(LINES, **changed)) == Code.LIST_UNREADABLE


async def test_a_list_that_is_too_much_is_refused(place: Place) -> None:
    assert await place.refused(place.put(b"x\n" * 101)) == Code.LIST_TOO_LONG
    assert await place.refused(place.put(gzip.compress(b"x" * 20_000))) == Code.LIST_TOO_LARGE
    assert await place.refused(place.put(b"")) == Code.LIST_EMPTY


async def test_a_forgotten_upload_is_gone_and_can_be_forgotten_again(place: Place) -> None:
    submitted = place.put(LINES)
    for _ in range(2):
        await place.uploads.forget(submitted)
    assert [path for path in place.root.rglob("*") if path.is_file()] == []
    assert await place.refused(submitted) == Code.LIST_UNREADABLE
    await place.uploads.forget(ListSubmitted(customer_id="acme", urls=["https://a.example/0.jpg"]))


def test_what_was_uploaded_and_how_it_is_read_is_the_fingerprint(place: Place) -> None:
    submitted = place.put(LINES)
    same = msgspec.structs.replace(submitted, notify_url="https://a.example/hook")
    others = [
        msgspec.structs.replace(submitted, upload_sha256="0" * 64),
        msgspec.structs.replace(submitted, list_format="csv"),
        msgspec.structs.replace(submitted, list_column="image"),
        msgspec.structs.replace(submitted, recipe="original-size"),
        msgspec.structs.replace(submitted, upload_sha256=UNSET, urls=["https://a.example/0.jpg"]),
    ]
    assert fingerprint_of(same) == fingerprint_of(submitted)
    assert len({fingerprint_of(one) for one in (submitted, *others)}) == 6
