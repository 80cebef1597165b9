"""A client's complaints: one line in ten seconds, and fatal ones end the work."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from imagelane.platform.troubles import Troubles


class Lines:
    def __init__(self) -> None:
        self.errors: list[object] = []

    def warning(self, event: str, **fields: object) -> None:
        assert event == "kafka.trouble"
        self.errors.append(fields["error"])


def test_a_broker_that_is_away_is_complained_of_once_in_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines, now = Lines(), [100.0]
    monkeypatch.setattr("imagelane.platform.troubles.time.monotonic", lambda: now[0])
    complain = Troubles(lines)
    for second in range(25):
        now[0] = 100.0 + second
        complain(KafkaError(KafkaError._ALL_BROKERS_DOWN, f"down {second}"))
    assert lines.errors == ["down 0", "down 10", "down 20"]


def test_what_a_client_cannot_go_on_from_is_raised() -> None:
    lines = Lines()
    fatal = KafkaError(KafkaError._FENCED, "fenced", fatal=True)
    with pytest.raises(KafkaException):
        Troubles(lines)(fatal)
    assert lines.errors == []
