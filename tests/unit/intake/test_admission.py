"""Submissions whose key was used before: what is known, what was deleted, what is too old."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from tests.unit.intake.conftest import ITEM, RETENTION, Archive, Told

from imagelane.contracts.codec import event_id
from imagelane.contracts.commands import DeleteJob
from imagelane.contracts.events import JobAccepted, JobFinished, JobRefused
from imagelane.contracts.notices import NoticeRecorded
from imagelane.core.admission import AdmissionPolicy
from imagelane.intake.admission import Accepted, Admission
from imagelane.intake.core.refusals import Rules
from imagelane.intake.core.submissions import read_submission
from imagelane.intake.list_fetch import ListFetcher, limits_of
from imagelane.intake.notices import Notices
from imagelane.intake.settings import IntakeSettings
from imagelane.intake.uploads import UploadedLists
from imagelane.platform.records import Record

NOW = datetime.now(UTC)
SECRET = b"a secret of the deployment"


class Door:
    """Admission to one archive."""

    def __init__(self, archive: Archive) -> None:
        self.told = Told()
        self._archive = archive
        producer: Any = self.told
        client: Any = None  # nothing here is fetched
        settings = IntakeSettings(deployment_secret=SecretStr("x" * 16))
        store: Any = archive.store
        uploads = UploadedLists(store, limits_of(settings), secret=SECRET)
        self._admission = Admission(
            archive.lists,
            ListFetcher(client, uploads, settings),
            producer,
            secret=SECRET,
            rules=Rules({"default"}, AdmissionPolicy()),
            notices=Notices(producer),
            retention=RETENTION,
        )

    async def submit(
        self, urls: int = 2, at: datetime = NOW, notify_url: str | None = None
    ) -> Accepted | None:
        """A list of so many images under one and the same key, handed in at that time."""
        value = {
            **({} if notify_url is None else {"notify_url": notify_url}),
            "customer_id": "acme",
            "idempotency_key": "k",
            "urls": [f"https://images.example/{number}.jpg" for number in range(urls)],
        }
        timestamp_ms = round(at.timestamp() * 1_000)
        record = Record("urls", 0, 0, None, json.dumps(value).encode(), [], timestamp_ms)
        accepted = await self._admission.admit(read_submission(record))
        if accepted is not None:
            await self._admission.tell(accepted.header)
        return accepted

    async def finish_and_delete(self, job_id: str, at: datetime) -> None:
        for event in (
            JobFinished(
                customer_id="acme",
                job_id=job_id,
                images=2,
                delivered=2,
                failed=0,
                cancelled=0,
                occurred_at=at,
            ),
            DeleteJob(customer_id="acme", job_id=job_id, decided_by="me", occurred_at=at),
        ):
            await self._archive.endings.follow(event, ITEM)

    @property
    def notices(self) -> list[NoticeRecorded]:
        return [one for one in self.told.events if isinstance(one, NoticeRecorded)]

    @property
    def codes(self) -> list[str]:
        return [one.failure.code for one in self.told.events if isinstance(one, JobRefused)]


@pytest.fixture
def door(archive: Archive) -> Door:
    return Door(archive)


async def test_the_time_of_handing_in_is_the_brokers(door: Door) -> None:
    at = NOW - timedelta(hours=5)
    accepted = await door.submit(at=at)
    assert accepted is not None
    (told,) = door.told.events
    assert isinstance(told, JobAccepted)
    assert told.images == accepted.header.images
    assert isinstance(told.handed_in_at, datetime)
    assert abs(told.handed_in_at - at) < timedelta(milliseconds=1)


async def test_a_known_key_is_the_same_job_and_with_other_content_a_conflict(door: Door) -> None:
    first = await door.submit()
    again = await door.submit(at=NOW + timedelta(minutes=1))
    assert first is not None
    assert again is not None
    assert (first.is_new, again.is_new) == (True, False)
    assert again.header == first.header
    assert await door.submit(urls=3) is None
    assert door.codes == ["idempotency_conflict"]


async def test_a_deleted_jobs_record_read_again_begins_nothing(door: Door) -> None:
    first = await door.submit(at=NOW - timedelta(hours=1))
    assert first is not None
    await door.finish_and_delete(first.header.job_id, at=NOW)
    told = list(door.told.events)
    assert await door.submit(at=NOW - timedelta(hours=1)) is None
    assert door.told.events == told


async def test_a_deleted_jobs_key_handed_in_anew_is_refused_under_another_id(door: Door) -> None:
    first = await door.submit(at=NOW - timedelta(hours=1))
    assert first is not None
    await door.finish_and_delete(first.header.job_id, at=NOW)
    assert await door.submit(at=NOW + timedelta(seconds=1)) is None
    assert door.codes == ["job_deleted"]
    refused = door.told.events[-1]
    assert isinstance(refused, JobRefused)
    assert refused.job_id != first.header.job_id


async def test_a_record_older_than_the_retention_begins_no_job_but_a_known_one_goes_on(
    door: Door,
) -> None:
    assert await door.submit(at=NOW - RETENTION - timedelta(days=1)) is None
    assert door.codes == ["submission_too_old"]
    assert await door.submit() is not None
    assert await door.submit(at=NOW - RETENTION - timedelta(days=1)) is not None


async def test_who_wants_to_hear_of_a_refusal_does(door: Door) -> None:
    assert await door.submit(notify_url="https://shop.example/hook") is not None
    assert door.notices == []
    assert await door.submit(urls=3, notify_url="https://shop.example/hook") is None
    (notice,) = door.notices
    (refused,) = (one for one in door.told.events if isinstance(one, JobRefused))
    assert notice.refused == refused
    assert (notice.state, notice.attempts) == ("pending", 0)
    assert notice.notify_url == "https://shop.example/hook"
    assert notice.notice_id == event_id(refused)


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://shop.example/hook", "https://"),
        ("https://localhost/hook", "internal"),
        ("https://169.254.169.254/hook", ""),
        ("https://me:secret@shop.example/hook", "user name"),
        ("https://shop.example:22/hook", "port 22"),
    ],
)
async def test_a_url_that_may_not_be_posted_to_is_refused_and_hears_nothing(
    door: Door, url: str, detail: str
) -> None:
    assert await door.submit(notify_url=url) is None
    assert door.codes == ["notify_url_refused"]
    assert door.notices == []
    (refused,) = (one for one in door.told.events if isinstance(one, JobRefused))
    assert detail in refused.failure.reason
    assert await door.submit() is not None  # the key is still free
