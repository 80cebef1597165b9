"""What all tests share: one real Apache Kafka per session, and topics of one's own per test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from imagelane.ops import topics
from imagelane.ops.broker import EmbeddedBroker, broker_home
from imagelane.platform.settings import KafkaSettings

CACHE: Final = Path.home() / ".cache" / "imagelane"
ARTIFACTS: Final = Path(__file__).parent.parent / "build" / "test-artifacts"
STRICT_PARTITIONS: Final = 4
_numbers: Final = count()


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="broker-", dir=ARTIFACTS))
    server = EmbeddedBroker(broker_home(CACHE, print), folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def kafka(broker: EmbeddedBroker) -> KafkaSettings:
    settings = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=f"t{next(_numbers)}-",
        strict_partitions=STRICT_PARTITIONS,
        spread_partitions=STRICT_PARTITIONS,
    )
    differences = topics.apply(settings, lambda _text: None)
    assert differences == []
    return settings
