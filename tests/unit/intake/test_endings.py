"""Jobs that are stopped, finished and deleted: what of them lies in the stores, whatever comes first."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from tests.unit.intake.conftest import (
    DELETED,
    FINISHED,
    ITEM,
    RETENTION,
    STOPPED,
    Archive,
    cancel,
    cancel_customer,
    delete,
    delete_customer,
    finished,
    job_id,
)

from imagelane.contracts.codec import event_id
from imagelane.contracts.events import JobFinished
from imagelane.contracts.notices import NoticeRecorded
from imagelane.intake.core.marks import Mark
from imagelane.platform.store import StoreUnavailableError
from imagelane.platform.tenures import Tenure
from imagelane.platform.work import WorkItem

NOW = datetime.now(UTC)
LONG_AGO = NOW - RETENTION - timedelta(days=1)


async def test_a_cancelled_job_is_stopped_and_nothing_of_it_goes(archive: Archive) -> None:
    await archive.accept("a")
    before = archive.objects()
    await archive.follow(cancel("a"))
    await archive.follow(finished("a"))
    assert archive.marks_of("a") == {"", STOPPED, FINISHED}
    assert archive.objects() >= before


@pytest.mark.parametrize("order", list(permutations(["delete", "finished"])))
async def test_a_deleted_job_goes_when_it_has_finished_whichever_comes_first(
    archive: Archive, order: tuple[str, str]
) -> None:
    await archive.accept("a")
    await archive.accept("b")
    for one in order:
        assert len(archive.objects_of("a")) > 1
        await archive.follow(delete("a") if one == "delete" else finished("a"))
    assert archive.marks_of("a") == {FINISHED}
    assert len(archive.objects_of("a")) == 1
    assert len(archive.objects_of("b")) == 5


async def test_a_job_that_has_not_finished_keeps_everything(archive: Archive) -> None:
    await archive.accept("a")
    await archive.follow(delete("a"))
    assert len(archive.objects_of("a")) == 5 + 2
    assert archive.marks_of("a") == {"", STOPPED, DELETED}
    assert archive.road.asked == 0


async def test_nothing_goes_while_something_may_be_under_way(archive: Archive) -> None:
    archive.road.is_empty = False
    await archive.accept("a")
    await archive.follow(finished("a"))
    await archive.follow(delete("a"))
    assert len(archive.objects_of("a")) == 5 + 3


async def test_who_has_lost_the_record_removes_nothing(archive: Archive) -> None:
    await archive.accept("a")
    await archive.follow(finished("a"))
    lost = WorkItem(ITEM.record, tenure=Tenure())
    lost.tenure.revoked = True
    await archive.endings.follow(delete("a"), lost)
    assert len(archive.objects_of("a")) == 5 + 3


@pytest.mark.parametrize("died_at", range(25))
async def test_wherever_it_dies_doing_it_again_ends_in_the_same(
    tmp_path: Path, died_at: int
) -> None:
    archive = Archive(tmp_path)
    await archive.accept("a")
    await archive.accept("b")
    steps = [delete("a"), finished("a"), finished("b"), delete_customer()]
    archive.store.calls_left = died_at
    at = 0
    while at < len(steps):
        try:
            await archive.follow(steps[at])
        except StoreUnavailableError:
            archive.store.calls_left = -1
        else:
            at += 1
    assert archive.marks_of("a") == archive.marks_of("b") == {FINISHED}
    assert len(archive.objects()) == 3  # two used-up keys, and the order about the customer


async def test_all_of_it_again_changes_nothing(archive: Archive) -> None:
    await archive.accept("a")
    for _ in range(2):
        await archive.follow(delete("a"))
        await archive.follow(finished("a"))
        await archive.follow(delete_customer(at=NOW + timedelta(minutes=1)))
    assert archive.marks_of("a") == {FINISHED}
    assert len(archive.objects()) == 2


# Notices


async def test_a_finished_job_is_told_once_to_who_wants_to_hear(archive: Archive) -> None:
    await archive.accept("a", notify_url="https://shop.example/hook")
    await archive.accept("b")
    for _ in range(2):
        await archive.follow(finished("a"))
        await archive.follow(finished("b"))
    (notice,) = archive.told.events
    assert isinstance(notice, NoticeRecorded)
    assert notice.notify_url == "https://shop.example/hook"
    assert isinstance(notice.finished, JobFinished)
    assert (notice.finished.job_id, notice.finished.delivered) == (job_id("a"), 2)
    assert notice.finished.idempotency_key == "key a"
    assert notice.notice_id == event_id(finished("a"))


async def test_a_deleted_job_is_told_too_before_its_list_goes(archive: Archive) -> None:
    await archive.accept("a", notify_url="https://shop.example/hook")
    await archive.follow(delete("a"))
    await archive.follow(finished("a"))
    assert archive.marks_of("a") == {FINISHED}
    assert len(archive.told.events) == 1


@pytest.mark.parametrize("died_at", range(6))
async def test_wherever_it_dies_the_notice_is_told_with_the_same_id(
    archive: Archive, died_at: int
) -> None:
    await archive.accept("a", notify_url="https://shop.example/hook")
    archive.store.calls_left = died_at
    for _ in range(3):
        with suppress(StoreUnavailableError):
            await archive.follow(finished("a"))
        archive.store.calls_left = -1
    told = [one for one in archive.told.events if isinstance(one, NoticeRecorded)]
    assert len(told) in (1, 2)
    assert {one.notice_id for one in told} == {event_id(finished("a"))}
    assert archive.marks_of("a") == {"", FINISHED}


# Customers


async def test_a_deleted_customers_jobs_go_and_nobody_elses(archive: Archive) -> None:
    await archive.accept("a")
    await archive.accept("b")
    await archive.accept("c", "acme/2")
    await archive.follow(finished("a"))
    await archive.follow(finished("c", "acme/2"))
    await archive.follow(delete_customer())
    assert archive.marks_of("a") == {FINISHED}
    assert archive.marks_of("b") == {"", STOPPED, DELETED}
    assert len(archive.objects_of("c")) == 5 + 1
    await archive.follow(finished("b"))
    assert archive.marks_of("b") == {FINISHED}
    assert len(archive.objects_of("b")) == 1


async def test_what_was_handed_in_after_the_command_stays(archive: Archive) -> None:
    command_at = datetime.now(UTC) - timedelta(minutes=5)
    await archive.accept("a", handed_in_at=command_at - timedelta(seconds=1))
    await archive.accept("b", handed_in_at=command_at + timedelta(seconds=1))
    for letter in "ab":
        await archive.follow(finished(letter))
    await archive.follow(delete_customer(at=command_at))
    assert archive.marks_of("a") == {FINISHED}
    assert archive.marks_of("b") == {"", FINISHED}


async def test_a_list_that_is_accepted_later_finds_the_orders_that_hold_for_it(
    archive: Archive,
) -> None:
    await archive.follow(cancel_customer(at=NOW))
    await archive.follow(delete_customer(at=NOW - timedelta(hours=1)))
    late = await archive.accept("a", handed_in_at=NOW - timedelta(hours=2))
    later = await archive.accept("b", handed_in_at=NOW - timedelta(minutes=30))
    new = await archive.accept("c", handed_in_at=NOW + timedelta(seconds=1))
    for header in (late, later, new):
        for order in await archive.lists.orders_for(header):
            await archive.lists.obey(header.key, order)
    assert archive.marks_of("a") == {"", STOPPED, DELETED}
    assert archive.marks_of("b") == {"", STOPPED}
    assert archive.marks_of("c") == {""}


async def test_a_cancelled_customers_finished_jobs_are_left_alone(archive: Archive) -> None:
    await archive.accept("a")
    await archive.follow(finished("a"))
    await archive.accept("b")
    await archive.follow(cancel_customer())
    assert archive.marks_of("a") == {"", FINISHED}
    assert archive.marks_of("b") == {"", STOPPED}


# Bad input


async def test_a_command_for_another_customers_job_does_nothing_to_it(archive: Archive) -> None:
    await archive.accept("a")
    await archive.follow(finished("a"))
    await archive.follow(delete("a", "globex"))
    await archive.follow(finished("a", "globex"))
    assert archive.marks_of("a") == {"", FINISHED}
    assert len([one for one in archive.objects_of("a") if "globex" not in one]) == 5 + 1


async def test_a_command_that_comes_before_the_list_holds_for_it(archive: Archive) -> None:
    await archive.follow(delete("a"))
    header = await archive.accept("a")
    assert await archive.lists.has(header.key, Mark.STOPPED)
    await archive.follow(finished("a"))
    assert archive.marks_of("a") == {FINISHED}


@pytest.mark.parametrize(
    "event",
    [
        delete("a", at=LONG_AGO),
        delete_customer(at=LONG_AGO),
        cancel_customer(at=LONG_AGO),
        finished("a", at=LONG_AGO),
    ],
)
async def test_what_was_said_before_the_retention_changes_nothing(
    archive: Archive, event: Any
) -> None:
    await archive.accept("a", handed_in_at=LONG_AGO)
    before = archive.objects()
    await archive.follow(event)
    assert archive.objects() == before


async def test_results_in_a_place_that_is_no_longer_known_are_left_and_all_else_goes(
    archive: Archive,
) -> None:
    archive.removal._destinations = {}
    await archive.accept("a")
    await archive.follow(finished("a"))
    await archive.follow(delete("a"))
    assert archive.marks_of("a") == {FINISHED}
    assert archive.objects_of("a") == {
        f"private/lists/acme/{job_id('a')}.finished",
        *(f"public/results/{job_id('a')}/{index}/image.jpg" for index in range(2)),
    }
