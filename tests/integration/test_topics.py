"""`imagelane topics apply|check` on the real broker."""

from __future__ import annotations

import pytest

from imagelane.ops import topics
from imagelane.platform.settings import KafkaSettings

pytestmark = pytest.mark.kafka


def test_applying_twice_changes_nothing_and_says_nothing(kafka: KafkaSettings) -> None:
    said: list[str] = []
    assert topics.apply(kafka, said.append) == []
    assert said == []


def test_a_wrong_number_of_partitions_is_told_and_left_alone(kafka: KafkaSettings) -> None:
    other = kafka.model_copy(update={"strict_partitions": 7})
    told = {str(difference) for difference in topics.apply(other, lambda _text: None)}
    assert (
        f"{kafka.topic('urls')}: has 4 partitions, IMAGELANE_KAFKA__STRICT_PARTITIONS says 7"
        in told
    )
    assert topics.check(kafka) == []


def test_topics_that_are_not_there_are_told(kafka: KafkaSettings) -> None:
    nowhere = kafka.model_copy(update={"topic_prefix": "nowhere-"})
    told = {str(difference) for difference in topics.check(nowhere)}
    assert "nowhere-requested: is missing" in told
