from __future__ import annotations

import socket

import pytest
from confluent_kafka import Consumer

from imagelane.platform import groups
from imagelane.platform.groups import KafkaStartError, consumer_properties, require_topics
from imagelane.platform.settings import KafkaSettings


@pytest.fixture
def nobody_there() -> str:
    """An address of loopback that nothing listens on."""
    with socket.socket() as closed_soon:
        closed_soon.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{closed_soon.getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_the_client_accepts_its_properties(nobody_there: str, protocol: str) -> None:
    settings = KafkaSettings.model_validate(
        {"bootstrap_servers": nobody_there, "group_protocol": protocol}
    )
    Consumer(consumer_properties(settings, "downloader")).close()


def test_only_the_classic_protocol_has_its_session_in_the_client() -> None:
    new = KafkaSettings(bootstrap_servers="localhost:9092", session_timeout_seconds=20)
    old = new.model_copy(update={"group_protocol": "classic"})
    assert "session.timeout.ms" not in consumer_properties(new, "downloader")
    assert consumer_properties(old, "downloader")["session.timeout.ms"] == 20_000


def test_no_setting_can_switch_a_guarantee_off() -> None:
    settings = KafkaSettings(
        bootstrap_servers="localhost:9092",
        client={"enable.auto.commit": "true", "group.id": "mine"},
    )
    properties = consumer_properties(settings, "downloader")
    assert properties["enable.auto.commit"] is False
    assert properties["group.id"] == "imagelane-downloader"


def test_a_broker_that_is_not_there_is_named(
    nobody_there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "REACH_SECONDS", 0.5)
    settings = KafkaSettings(bootstrap_servers=nobody_there)
    with pytest.raises(KafkaStartError, match=rf"{nobody_there}.*Connection refused.*BOOTSTRAP"):
        require_topics(settings, ["urls"])


def test_a_wrong_client_property_is_named() -> None:
    settings = KafkaSettings(bootstrap_servers="localhost:9092", client={"no.such.property": "1"})
    with pytest.raises(KafkaStartError, match=r"KAFKA__CLIENT.*no\.such\.property"):
        require_topics(settings, ["urls"])
