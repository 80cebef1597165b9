"""What all tests share: one real Apache Kafka per session, and topics of one's own per test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from hypothesis import settings as hypothesis_settings

from imagelane.ops import topics
from imagelane.ops.broker import EmbeddedBroker, broker_home
from imagelane.platform.settings import KafkaSettings

CACHE: Final = Path.home() / ".cache" / "imagelane"
ARTIFACTS: Final = Path(__file__).parent.parent / "build" / "test-artifacts"
STRICT_PARTITIONS: Final = 4
BROKER_HEAP_MIB: Final = 768
_numbers: Final = count()

# The same examples everywhere, and no verdict about a shared machine's speed.
hypothesis_settings.register_profile("imagelane", deadline=None, derandomize=True)
hypothesis_settings.load_profile("imagelane")


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="broker-", dir=ARTIFACTS))
    server = EmbeddedBroker(broker_home(CACHE, print), folder, heap_mib=BROKER_HEAP_MIB)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def kafka(broker: EmbeddedBroker) -> Iterator[KafkaSettings]:
    settings = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=f"t{next(_numbers)}-",
        strict_partitions=STRICT_PARTITIONS,
        spread_partitions=STRICT_PARTITIONS,
    )
    differences = topics.apply(settings, lambda _text: None)
    assert differences == []
    yield settings
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    with suppress(KafkaException):  # a test may have stopped the broker
        mine = [
            one
            for one in admin.list_topics(timeout=10).topics
            if one.startswith(settings.topic_prefix)
        ]
        for deletion in admin.delete_topics(mine).values() if mine else ():
            deletion.result(30)
