"""What becomes of old jobs, and of those that were forgotten on the way."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import SecretStr
from tests.unit.intake.conftest import (
    FINISHED,
    RETENTION,
    STOPPED,
    Archive,
    Told,
    cancel,
    delete,
    delete_customer,
    finished,
    job_id,
    sealed,
)

from imagelane.contracts.events import JobSealed
from imagelane.core.identity import upload_key
from imagelane.intake.core.marks import ROUNDS_UNTIL_ABANDONED, Due, Mark, due
from imagelane.intake.list_fetch import limits_of
from imagelane.intake.settings import IntakeSettings
from imagelane.intake.tidying import Tidying
from imagelane.intake.uploads import UploadedLists
from imagelane.platform.store import ObjectHeaders

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
TEXT = ObjectHeaders("application/octet-stream", "private")
LATER = NOW + RETENTION + timedelta(hours=1)


class FakeAdmission:
    """Tells of acceptances to nobody but the test."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def tell(self, header: Any) -> None:
        self.told.append(header.job_id)


class Broom:
    """The tidying of one archive."""

    def __init__(self, archive: Archive) -> None:
        self.told = Told()
        self.admission = FakeAdmission()
        admission: Any = self.admission
        producer: Any = self.told
        settings = IntakeSettings(
            deployment_secret=SecretStr("x" * 16),
            retention_days=RETENTION.days,
            tidy_every_seconds=HOUR.seconds,
        )
        store: Any = archive.store
        uploads = UploadedLists(store, limits_of(settings), secret=b"secret")
        self._tidying = Tidying(
            archive.lists, archive.removal, admission, producer, uploads, settings=settings
        )

    async def sweep(self, now: datetime) -> None:
        await self._tidying.tidy(now)


@pytest.fixture
def broom(archive: Archive) -> Broom:
    return Broom(archive)


def marks(*names: Mark | None, age: timedelta) -> dict[Mark | None, datetime]:
    return dict.fromkeys(names, NOW - age)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (marks(None, age=HOUR / 2), Due.NOTHING),
        (marks(None, age=HOUR * ROUNDS_UNTIL_ABANDONED), Due.NOTHING),
        (marks(None, age=HOUR * ROUNDS_UNTIL_ABANDONED * 1.01), Due.SEAL),
        (marks(None, Mark.SEALED, age=HOUR / 2), Due.NOTHING),
        (marks(None, Mark.SEALED, age=HOUR * 2), Due.REMIND),
        (marks(None, Mark.SEALED, age=RETENTION * 0.11), Due.NOTHING),
        (marks(None, Mark.SEALED, Mark.STOPPED, Mark.DELETED, age=HOUR * 2), Due.REMIND),
        (marks(None, Mark.SEALED, Mark.STOPPED, Mark.DELETED, age=2 * RETENTION), Due.NOTHING),
        (marks(None, Mark.SEALED, Mark.FINISHED, age=RETENTION * 0.99), Due.NOTHING),
        (marks(None, Mark.SEALED, Mark.FINISHED, age=RETENTION * 1.01), Due.FORGET),
        (marks(Mark.FINISHED, age=RETENTION * 0.99), Due.NOTHING),
        (marks(Mark.FINISHED, age=RETENTION * 1.01), Due.FORGET),
        (marks(Mark.STOPPED, age=RETENTION * 0.99), Due.NOTHING),
        (marks(Mark.STOPPED, Mark.DELETED, age=RETENTION * 1.01), Due.FORGET),
    ],
)
def test_what_is_due_follows_from_what_there_is(
    found: dict[Mark | None, datetime], expected: Due
) -> None:
    assert due(found, NOW, retention=RETENTION, patience=HOUR) is expected


@given(
    st.dictionaries(
        st.sampled_from([Mark.SEALED, Mark.STOPPED, Mark.DELETED]), st.integers(0, 400)
    ),
    st.integers(0, 400),
)
def test_of_an_accepted_job_that_has_not_finished_nothing_is_ever_forgotten(
    ages: dict[Mark, int], age: int
) -> None:
    found: dict[Mark | None, datetime] = {
        mark: NOW - timedelta(days=days) for mark, days in ages.items()
    }
    found[None] = NOW - timedelta(days=age)
    assert due(found, NOW, retention=RETENTION, patience=HOUR) is not Due.FORGET


async def test_a_job_that_is_over_for_long_leaves_nothing_private_behind(
    archive: Archive, broom: Broom
) -> None:
    header = await archive.accept("a")
    await archive.lists.mark(header.key, Mark.SEALED, sealed(header))
    await archive.follow(cancel("a"))
    await archive.follow(finished("a"))
    await broom.sweep(NOW + RETENTION - HOUR)
    assert len(archive.objects_of("a")) == 5 + 3
    await broom.sweep(LATER)
    results = {f"public/results/{job_id('a')}/{index}/image.jpg" for index in range(2)}
    assert archive.objects() == results


async def test_a_deleted_job_is_removed_once_more_and_its_key_is_free_again(
    archive: Archive, broom: Broom
) -> None:
    await archive.accept("a")
    await archive.follow(finished("a"))
    await archive.follow(delete("a"))
    (archive.folder / f"public/results/{job_id('a')}/0").mkdir(parents=True)
    late = archive.folder / f"public/results/{job_id('a')}/0/image.jpg"
    late.write_bytes(b"put back by a worker that had slept")
    await broom.sweep(LATER)
    assert archive.objects() == set()
    await archive.accept("a")
    assert archive.marks_of("a") == {""}


async def test_commands_for_jobs_that_never_were_and_old_orders_are_forgotten(
    archive: Archive, broom: Broom
) -> None:
    await archive.follow(cancel("a"))
    await archive.follow(delete_customer())
    assert len(archive.objects()) == 2
    await broom.sweep(NOW + RETENTION - HOUR)
    assert len(archive.objects()) == 2
    await broom.sweep(LATER)
    assert archive.objects() == set()


async def test_a_job_that_does_not_finish_is_kept_and_told_to_be_sealed_again(
    archive: Archive, broom: Broom
) -> None:
    header = await archive.accept("a")
    told = sealed(header)
    await archive.lists.mark(header.key, Mark.SEALED, told)
    await broom.sweep(NOW)
    assert broom.told.events == []
    later = NOW + 2 * HOUR
    await broom.sweep(later)
    assert broom.told.events == [replace(told, occurred_at=later)]
    await broom.sweep(LATER)
    assert len(broom.told.events) == 1
    assert len(archive.objects_of("a")) == 5 + 1


async def test_a_list_that_nobody_works_on_is_sealed_in_the_end(
    archive: Archive, broom: Broom
) -> None:
    await archive.accept("a", deadline=NOW + HOUR)
    await broom.sweep(NOW + 3.9 * HOUR)
    assert broom.told.events == []
    await broom.sweep(NOW + 4.1 * HOUR)
    (told,) = broom.told.events
    assert isinstance(told, JobSealed)
    assert (told.job_id, told.images, told.deadline) == (job_id("a"), 2, NOW + HOUR)
    assert broom.admission.told == [job_id("a")]
    await broom.sweep(NOW)
    assert len(broom.told.events) == 1


async def test_what_has_gone_meanwhile_is_nobodys_fault(archive: Archive, broom: Broom) -> None:
    header = await archive.accept("a")
    await archive.lists.remove(header.key)
    assert await broom._tidying._remind(header.key, NOW) is False
    assert await broom._tidying._seal(header.key) is False


async def test_the_age_is_that_of_the_first_mark_whatever_is_said_again(
    archive: Archive, broom: Broom
) -> None:
    await archive.accept("a")
    await archive.follow(finished("a"))
    mark = archive.folder / f"private/lists/acme/{job_id('a')}.finished"
    os.utime(mark, (0, 0))
    await archive.follow(finished("a"))
    assert archive.marks_of("a") == {"", FINISHED}
    await broom.sweep(NOW)
    assert archive.marks_of("a") == set()


async def test_many_customers_and_jobs_are_told_apart(archive: Archive) -> None:
    names = ["acme", "Acme", "a.b", "a/b", "ü", "x" * 255, "acme-1"]
    for number, name in enumerate(names):
        await archive.accept("abcdefg"[number], name)
        await archive.follow(cancel("abcdefg"[number], name))
    found = {key: set(marks) async for key, marks in archive.lists.jobs()}
    assert len(found) == len(names)
    assert all(marks == {None, Mark.STOPPED} for marks in found.values())
    for number, name in enumerate(names):
        keys = [key async for key, _ in archive.lists.jobs(name)]
        assert [key.rpartition("/")[2] for key in keys] == [job_id("abcdefg"[number])]
        assert archive.marks_of("abcdefg"[number], name) == {"", STOPPED}


async def test_an_upload_that_no_job_names_goes_after_a_week_and_a_younger_one_stays(
    archive: Archive, broom: Broom
) -> None:
    old, young = (upload_key(b"secret", "acme", "k", sha256) for sha256 in ("old", "young"))
    for key in (old, young):
        await archive.store.put(key, b"a list", TEXT)
    modified = (NOW - timedelta(days=7, minutes=1)).timestamp()
    os.utime(archive.folder / "private" / old, (modified, modified))
    await archive.accept("a")
    before = archive.objects()
    await broom.sweep(NOW)
    assert before - archive.objects() == {f"private/{old}"}
