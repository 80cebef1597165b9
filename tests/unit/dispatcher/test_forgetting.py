"""What has not changed for the retention leaves the log and the memory, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from msgspec import UNSET
from msgspec.structs import replace as with_fields
from tests.unit.dispatcher.conftest import (
    ACME,
    JOB,
    NOW,
    OTHER_JOB,
    completed,
    draft,
    lane,
    policy,
    settled,
)

from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import EXPIRED_AT_ONCE, Draft
from imagelane.dispatcher.core.outcomes import JobOutcomes

RETENTION = policy().retention
OVER = NOW + RETENTION + timedelta(seconds=1)


def at(book: Book, now: datetime) -> Draft:
    return replace(draft(book), now=now)


def settle(book: Book, job: str, now: datetime, index: int = 0) -> None:
    made = at(book, now)
    made.settle(settled(failed=[index], job=job))
    made.apply()


def expire(book: Book, now: datetime) -> list[tuple[str, str]]:
    made = at(book, now)
    made.expire()
    made.apply()
    return made.expired


def test_a_job_leaves_when_it_has_not_changed_for_the_retention() -> None:
    book = Book()
    settle(book, JOB, NOW)
    settle(book, OTHER_JOB, NOW + timedelta(days=1))
    assert expire(book, NOW + RETENTION) == []
    assert expire(book, OVER) == [(ACME, JOB)]
    assert list(book.jobs) == list(book.changed_at) == [(ACME, OTHER_JOB)]


def test_every_change_makes_it_young_again() -> None:
    book = Book()
    settle(book, JOB, NOW)
    settle(book, OTHER_JOB, NOW)
    settle(book, JOB, NOW + timedelta(days=2), index=1)
    assert expire(book, OVER) == [(ACME, OTHER_JOB)]


def test_of_too_many_jobs_the_oldest_leave_but_none_that_changed_within_a_day() -> None:
    book = Book()
    for hours, job in enumerate("abcde"):
        settle(book, job * 32, NOW + timedelta(hours=hours))
    made = at(book, NOW + timedelta(hours=26, seconds=1))
    made.policy = replace(made.policy, max_jobs=3)
    made.expire()
    assert made.expired == [(ACME, "a" * 32), (ACME, "b" * 32)]
    made = at(book, NOW + timedelta(hours=24))
    made.policy = replace(made.policy, max_jobs=1)
    made.expire()
    assert made.expired == []


def test_a_job_in_a_plan_stays_however_old() -> None:
    book = Book(lanes={ACME: lane("held")})
    settle(book, JOB, NOW, index=99)
    settle(book, OTHER_JOB, NOW)
    assert expire(book, OVER) == [(ACME, OTHER_JOB)]


def test_a_job_that_changes_in_the_same_turn_stays() -> None:
    book = Book()
    settle(book, JOB, NOW)
    made = at(book, OVER)
    made.settle(settled(failed=[5]))
    made.expire()
    assert made.expired == []


def test_a_turn_forgets_only_so_many() -> None:
    book = Book()
    for number in range(EXPIRED_AT_ONCE + 10):
        book.remember((ACME, str(number)), JobOutcomes(), NOW)
    assert len(expire(book, OVER)) == EXPIRED_AT_ONCE
    assert len(expire(book, OVER)) == 10
    assert book == Book()


def test_a_restored_book_knows_which_job_is_the_oldest() -> None:
    book, restored = Book(), Book()
    records = []
    for days, job in ((3, "b"), (1, "c"), (2, "a")):
        made = at(book, NOW + timedelta(days=days))
        made.settle(settled(failed=[1], job=job * 32))
        made.apply()
        records += made.records()
    for record in records:
        restored.read(record)
    restored.put_in_order()
    ages = list(restored.changed_at.values())
    assert all(one < other for one, other in pairwise(ages))
    assert restored.changed_at == book.changed_at


def test_an_old_last_answer_is_forgotten_at_the_next_start() -> None:
    idle = lanes.resolve(lane("active"), completed(), NOW)
    made = at(Book(lanes={ACME: idle}), NOW + RETENTION)
    made.begin(ACME)
    assert (made.told, made.records()) == ([completed()], [])
    made = at(Book(lanes={ACME: idle}), OVER)
    made.begin(ACME)
    assert (made.told, made.records()) == ([], [with_fields(idle, last_answer=UNSET)])
    assert made.lane(ACME).last_seq == 1
