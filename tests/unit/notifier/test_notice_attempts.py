"""What an answer to a notice means, when the next attempt is due, and how the log is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from pydantic import ValidationError

from imagelane.contracts.events import JobFinished
from imagelane.contracts.notices import NoticeRecorded, NoticeResult
from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.core.http_answers import retry_after_seconds
from imagelane.notifier.core.attempts import Attempt, Schedule, attempt_of, event_in, fold, is_whole
from imagelane.notifier.settings import NotifierSettings
from imagelane.platform.notify_settings import NotifySigningSettings

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
JOB = "k3v5yq2mzr7w6t4ahs2bjx3cdn5oflpe"
SCHEDULE = Schedule((5, 300), jitter=0.2, most_seconds=3_600)


def notice(attempts: int = 0) -> NoticeRecorded:
    finished = JobFinished(
        customer_id="acme",
        job_id=JOB,
        images=1,
        delivered=1,
        failed=0,
        cancelled=0,
        occurred_at=NOW,
    )
    return NoticeRecorded(
        customer_id="acme",
        job_id=JOB,
        notice_id="id",
        about="finished",
        state="pending",
        occurred_at=NOW,
        attempts=attempts,
        notify_url="https://shop.example/hook",
        finished=finished,
    )


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, "2xx"),
        (204, "2xx"),
        (299, "2xx"),
        (301, "3xx"),
        (400, "4xx"),
        (404, "4xx"),
        (410, "410"),
        (429, "4xx"),
        (500, "5xx"),
        (503, "5xx"),
        (600, "5xx"),
    ],
)
def test_a_status_is_one_of_few_classes(status: int, result: str) -> None:
    assert attempt_of(status, None).result == result


def test_what_was_taken_is_delivered_and_keeps_neither_url_nor_event() -> None:
    after = SCHEDULE.after(notice(), Attempt("2xx"), NOW, luck=0)
    assert (after.state, after.attempts, after.last_result) == ("delivered", 1, "2xx")
    assert (after.notify_url, after.finished, after.next_at) == (UNSET, UNSET, UNSET)


def test_410_stops_at_once() -> None:
    after = SCHEDULE.after(notice(), Attempt("410"), NOW, luck=0)
    assert (after.state, after.attempts) == ("given_up", 1)


@pytest.mark.parametrize(
    "result",
    ["3xx", "4xx", "5xx", "timeout", "unreachable", "tls_error", "bad_response", "url_refused"],
)
def test_everything_else_is_tried_again_as_often_as_the_schedule_says(result: NoticeResult) -> None:
    first = SCHEDULE.after(notice(), Attempt(result), NOW, luck=0)
    assert (first.state, first.attempts, first.last_result) == ("pending", 1, result)
    assert first.next_at == NOW + timedelta(seconds=5)
    assert first.notify_url is not UNSET
    second = SCHEDULE.after(first, Attempt(result), NOW, luck=0.5)
    assert second.next_at == NOW + timedelta(seconds=330)
    third = SCHEDULE.after(second, Attempt(result), NOW, luck=0)
    assert (third.state, third.attempts, third.last_result) == ("given_up", 3, result)


@pytest.mark.parametrize(("asked", "waits"), [(None, 5), (1, 5), (60, 60), (86_400, 3_600)])
def test_a_receiver_may_ask_for_a_longer_wait_up_to_a_bound(
    asked: float | None, waits: float
) -> None:
    after = SCHEDULE.after(notice(), Attempt("5xx", asked), NOW, luck=0)
    assert after.next_at == NOW + timedelta(seconds=waits)


def test_retry_after_is_read_up_to_the_bound_that_is_given() -> None:
    assert retry_after_seconds("7200", NOW) == 600
    assert retry_after_seconds("7200", NOW, most_seconds=86_400) == 7_200
    date = "Sat, 21 Nov 2026 12:00:00 GMT"
    assert retry_after_seconds(date, NOW, most_seconds=86_400) == 7_200


def test_by_default_there_are_ten_attempts_in_three_days() -> None:
    schedule = NotifierSettings().schedule()
    days = timedelta(seconds=sum(schedule.delays_seconds))
    assert len(schedule.delays_seconds) == 9
    assert timedelta(days=3) < days < timedelta(days=3.5)


def test_a_waiting_notice_is_written_anew_before_the_topic_forgets_it() -> None:
    most = 432_000.0
    NotifierSettings(retry_seconds=[most], jitter=1, max_retry_after_seconds=most)
    with pytest.raises(ValidationError, match="retry_seconds"):
        NotifierSettings(retry_seconds=[most + 1])
    config = read_topic_files(schemas_folder())["notices"].config
    assert int(config["retention.ms"]) > (2 * most + 86_400) * 1_000


def test_of_the_records_of_a_notice_the_one_with_the_most_attempts_counts_until_it_is_over() -> (
    None
):
    begun, once = notice(), notice(1)
    over = replace(once, state="delivered", attempts=2)
    assert fold(None, begun) == begun
    assert fold(begun, once) == once
    assert fold(once, begun) == once  # intake died before it had noted that it told
    assert fold(once, over) is None
    assert fold(None, over) is None


def test_a_notice_without_an_event_cannot_be_posted() -> None:
    assert event_in(notice()).job_id == JOB
    assert is_whole(notice())
    assert not is_whole(replace(notice(), finished=UNSET))
    assert not is_whole(replace(notice(), notify_url=UNSET))
    with pytest.raises(ValueError, match="neither"):
        event_in(replace(notice(), finished=UNSET))


def test_master_secrets_must_be_long(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short\n")
    (tmp_path / "long").write_text("x" * 32 + "\n")
    with pytest.raises(ValidationError, match="short holds no 32 characters"):
        NotifySigningSettings(secret_files=[tmp_path / "short"])
    assert NotifySigningSettings(secret_files=[tmp_path / "long"]).masters() == [b"x" * 32]
