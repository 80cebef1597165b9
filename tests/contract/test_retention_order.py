"""What is forgotten here must be forgotten before everywhere from where it could come again."""

from __future__ import annotations

from typing import Any

import pytest

from imagelane.batcher.retention import BRINGING_IMAGES
from imagelane.batcher.retention import check_retention as check_the_batchers
from imagelane.batcher.settings import BatcherSettings
from imagelane.contracts import topics as t
from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.dispatcher.retention import TELLING_OF_JOBS
from imagelane.dispatcher.retention import check_retention as check_the_dispatchers
from imagelane.dispatcher.settings import DispatcherSettings
from imagelane.intake.retention import check_retention
from imagelane.intake.settings import IntakeSettings
from imagelane.notifier.settings import NotifierSettings
from imagelane.platform.retention import SEGMENT_DAYS
from imagelane.platform.settings import SettingsError
from imagelane.tracker.inputs import INPUTS
from imagelane.tracker.retention import MARK_DAYS
from imagelane.tracker.settings import TrackerSettings

FILES = read_topic_files(schemas_folder())


def days_of(topic: str) -> float:
    return int(FILES[topic].config["retention.ms"]) / 86_400_000


def default(settings: type[Any], name: str = "retention_days") -> float:
    return float(settings.model_fields[name].default)


def test_the_batcher_remembers_a_finished_job_for_longer_than_any_topic_has_its_images() -> None:
    assert default(BatcherSettings) >= max(map(days_of, BRINGING_IMAGES)) + SEGMENT_DAYS


def test_the_dispatcher_remembers_a_job_for_longer_than_any_topic_tells_of_it() -> None:
    assert default(DispatcherSettings) > max(map(days_of, TELLING_OF_JOBS)) + SEGMENT_DAYS


def test_a_key_is_used_up_for_longer_than_anybody_remembers_its_job() -> None:
    assert default(BatcherSettings) < default(DispatcherSettings) < default(IntakeSettings)


def test_an_upload_stays_for_as_long_as_a_record_may_name_it() -> None:
    assert default(IntakeSettings, "upload_retention_days") >= days_of(t.URLS)


def test_the_tracker_marks_forgotten_jobs_for_longer_than_any_topic_tells_of_them() -> None:
    kept = [name for name in INPUTS if "retention.ms" in FILES[name].config]
    assert max(map(days_of, kept)) + SEGMENT_DAYS <= MARK_DAYS
    assert default(TrackerSettings) <= MARK_DAYS


def test_a_waiting_notice_is_written_anew_before_its_topic_forgets_it() -> None:
    own = NotifierSettings()
    longest = max(*own.retry_seconds, own.max_retry_after_seconds) * (1 + own.jitter) / 86_400
    assert longest + SEGMENT_DAYS < days_of(t.NOTICES)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"retention_days": 89}, "IMAGELANE_INTAKE__RETENTION_DAYS: 89 days"),
        ({"upload_retention_days": 1}, "IMAGELANE_INTAKE__UPLOAD_RETENTION_DAYS: 1 days"),
    ],
)
def test_intake_does_not_start_with_less_than_its_topics_keep(
    said: dict[str, float], named: str
) -> None:
    settings = {"deployment_secret": "a secret of the deployment"}
    check_retention(IntakeSettings.model_validate(settings), FILES)
    with pytest.raises(SettingsError, match=named):
        check_retention(IntakeSettings.model_validate(settings | said), FILES)


def test_the_batcher_does_not_start_with_less_than_its_topics_keep() -> None:
    check_the_batchers(BatcherSettings(retention_days=14), FILES)
    with pytest.raises(
        SettingsError, match=r"BATCHER__RETENTION_DAYS: 13\.5 .* 7 and a segment's 7"
    ):
        check_the_batchers(BatcherSettings(retention_days=13.5), FILES)


def test_the_dispatcher_does_not_start_with_less_than_its_topics_keep() -> None:
    check_the_dispatchers(DispatcherSettings(capabilities="A", retention_days=97), FILES)
    with pytest.raises(
        SettingsError, match=r"DISPATCHER__RETENTION_DAYS: 96\.5 .* 90 and a segment's 7"
    ):
        check_the_dispatchers(DispatcherSettings(capabilities="A", retention_days=96.5), FILES)
