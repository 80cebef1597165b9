"""What agrees and what differs between settings, record and broker, and the words for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from msgspec import UNSET, structs

from imagelane.contracts.events import TopologyRecorded
from imagelane.contracts.parts import PartitionCounts, RecordedTopic
from imagelane.contracts.topic_files import TopicFile, read_topic_files, schemas_folder
from imagelane.core.topology import (
    Expected,
    FoundTopic,
    config_differences,
    difference,
    losing_differences,
    replica_difference,
)

FILES = read_topic_files(schemas_folder())
CHANGELOG = "imagelane-batcher-lanes-changelog"
EXPECTED = Expected("shop", strict_partitions=12, spread_partitions=24, topic_prefix="x-")
USED = [FILES[name] for name in ("calls", "requested", "dlq.batches", CHANGELOG)]
RIGHT = {
    "calls": FoundTopic(12, "id-calls", 3),
    "requested": FoundTopic(24, "id-requested", 3),
    "dlq.batches": FoundTopic(1, "id-dlq", 3),
    CHANGELOG: FoundTopic(12, "id-changelog", 3),
}
RECORD = TopologyRecorded(
    deployment_id="shop",
    strict_partitions=12,
    spread_partitions=24,
    partitioner="murmur2",
    topics=[
        RecordedTopic(name=name, partitions=one.partitions, topic_id=one.topic_id)
        for name, one in RIGHT.items()
    ],
    occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
)


def test_what_agrees_is_no_reason_to_hold() -> None:
    assert difference(EXPECTED, RECORD, USED, RIGHT) == ""


def test_a_record_of_an_older_version_without_topics_is_enough() -> None:
    older = structs.replace(RECORD, topics=UNSET, spread_partitions=UNSET)
    assert difference(EXPECTED, older, USED, RIGHT) == ""


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        (
            "calls",
            FoundTopic(16, "id-calls", 3),
            "x-calls has 16 partitions, IMAGELANE_KAFKA__STRICT_PARTITIONS says 12",
        ),
        (
            "requested",
            FoundTopic(12, "id-requested", 3),
            "x-requested has 12 partitions, IMAGELANE_KAFKA__SPREAD_PARTITIONS says 24",
        ),
        (
            "dlq.batches",
            FoundTopic(2, "id-dlq", 3),
            "x-dlq.batches has 2 partitions, it must have 1",
        ),
        (
            "calls",
            FoundTopic(12, "id-other", 3),
            "x-calls was deleted and made anew: its id is id-other, and was id-calls",
        ),
    ],
)
def test_a_topic_that_is_not_what_it_was_made_as_is_named_with_both_values(
    name: str, found: FoundTopic, words: str
) -> None:
    assert difference(EXPECTED, RECORD, USED, {**RIGHT, name: found}) == words


def test_a_missing_topic_is_named_and_whether_it_was_there_once() -> None:
    there = {name: one for name, one in RIGHT.items() if name != "calls"}
    assert "x-calls is missing, though it was made" in difference(EXPECTED, RECORD, USED, there)
    none = structs.replace(RECORD, topics=[])
    assert difference(EXPECTED, none, USED, there) == "x-calls is missing"


def test_every_topic_that_differs_is_named() -> None:
    wrong = {**RIGHT, "calls": FoundTopic(4, "id-calls", 3), "requested": FoundTopic(4, "", 3)}
    assert difference(EXPECTED, RECORD, USED, wrong).count(" partitions, IMAGELANE_") == 2


def test_the_batchers_changelog_may_be_made_anew_for_it_notices_that_itself() -> None:
    other = {**RIGHT, CHANGELOG: FoundTopic(12, "id-other", 3)}
    assert difference(EXPECTED, RECORD, USED, other) == ""


def test_another_deployment_is_named_before_anything_else() -> None:
    second = replace(EXPECTED, deployment_id="other", strict_partitions=4)
    words = difference(second, RECORD, USED, RIGHT)
    assert "are the deployment 'shop''s" in words
    assert "IMAGELANE_DEPLOYMENT_ID says 'other'" in words
    assert "IMAGELANE_KAFKA__TOPIC_PREFIX" in words


def test_another_count_than_the_records_is_named_with_both() -> None:
    words = difference(replace(EXPECTED, strict_partitions=4), RECORD, USED, RIGHT)
    assert "the record on x-topology says 12 partitions" in words
    assert "IMAGELANE_KAFKA__STRICT_PARTITIONS says 4" in words


def test_without_a_record_it_is_told_who_writes_it() -> None:
    words = difference(EXPECTED, None, USED, RIGHT)
    assert words == "x-topology has no record: `imagelane topics apply` writes it"


def test_a_migration_under_way_holds_whatever_the_settings_say() -> None:
    counts = PartitionCounts(strict_partitions=16, spread_partitions=24)
    growing = structs.replace(RECORD, growing_to=counts)
    for strict_partitions in (12, 16):
        settings = replace(EXPECTED, strict_partitions=strict_partitions)
        assert "a migration to 16 strict partitions" in difference(settings, growing, USED, RIGHT)


def config_of(topic: TopicFile, **changes: str) -> dict[str, str]:
    return topic.config | {name.replace("_", "."): value for name, value in changes.items()}


def test_a_configuration_that_loses_records_is_named() -> None:
    calls, jobs = FILES["calls"], FILES["jobs"]
    assert list(losing_differences(calls, config_of(calls, cleanup_policy="delete"))) == [
        "cleanup.policy is delete, the file says compact"
    ]
    assert list(losing_differences(jobs, config_of(jobs, retention_ms="60000"))) == [
        "retention.ms is 60000, the file says 7776000000"
    ]


@pytest.mark.parametrize("retention", ["-1", "99999999999999"])
def test_a_longer_retention_is_told_and_loses_nothing(retention: str) -> None:
    jobs = FILES["jobs"]
    config = config_of(jobs, retention_ms=retention, compression_type="lz4")
    assert list(losing_differences(jobs, config)) == []
    assert len(list(config_differences(jobs, config))) == 2


def test_fewer_copies_than_wanted_are_named() -> None:
    assert replica_difference(FoundTopic(12, "", 3), 3) == ""
    assert "is kept 1 times, IMAGELANE_KAFKA__REPLICATION_FACTOR says 3" in replica_difference(
        FoundTopic(12, "", 1), 3
    )
