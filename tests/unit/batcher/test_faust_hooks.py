"""What the shell uses of Faust's inner affairs is there, and does what it did when it was looked at."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import cast

import pytest
from faust import App
from faust.auth import SASLCredentials
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP
from faust.types.tuples import Message
from mode import CrashingSupervisor

from imagelane.batcher.faust_app import TABLE, LaneConsumer, create_app
from imagelane.batcher.metrics import GAPS_IGNORED
from imagelane.batcher.settings import BatcherSettings, Settings
from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.platform.settings import KafkaSettings


def settings(**kafka: object) -> Settings:
    given = {"bootstrap_servers": "127.0.0.1:1", "topic_prefix": "test-", **kafka}
    return Settings(kafka=KafkaSettings.model_validate(given))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (BaseConsumer, "_add_gap"),
        (Consumer, "_getmany"),
        (BaseConsumer, "_commit"),
        (BaseConsumer, "seek_to_committed"),
        (App, "_new_transport"),
        (App, "_create_directories"),
        (App, "on_rebalance_start"),
        (App, "on_rebalance_end"),
    ],
)
def test_a_method_that_is_overridden_or_called_exists(owner: type, name: str) -> None:
    assert callable(getattr(owner, name))


def test_a_hole_is_reported_through_the_method_that_is_disarmed() -> None:
    assert "await self._add_gap(" in inspect.getsource(BaseConsumer._drain_messages)


async def test_a_hole_is_not_believed() -> None:
    consumer = LaneConsumer.__new__(LaneConsumer)
    before = GAPS_IGNORED._value.get()
    await consumer._add_gap(TP("processed", 1), 3, 9)  # Faust's own would need the consumer's state
    assert GAPS_IGNORED._value.get() == before + 1


def test_recovery_ends_with_the_call_that_opens_the_gate() -> None:
    source = inspect.getsource(Recovery.on_recovery_completed)
    assert source.index("table.on_recovery_completed(") < source.index("app.on_rebalance_end()")


def test_messages_know_their_generation() -> None:
    assert "generation_id" in Message.__slots__
    assert Transport.Consumer is Consumer


async def test_the_changelog_is_the_one_of_the_topic_file() -> None:
    app = create_app(settings())
    table = app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=12)
    name = table.changelog_topic.get_topic_name()
    assert name.removeprefix("test-") in read_topic_files(schemas_folder())
    assert name == "test-imagelane-batcher-lanes-changelog"


async def test_the_app_is_set_up_as_its_proofs_were() -> None:
    conf = create_app(settings(session_timeout_seconds=20.0)).conf
    assert conf.id == "test-imagelane-batcher"
    assert conf.broker_session_timeout == 20.0
    assert conf.table_standby_replicas == 0
    assert conf.topic_allow_declare is False
    assert conf.topic_disable_leader is True
    assert conf.web_enabled is False
    assert cast(type, conf.agent_supervisor) is CrashingSupervisor
    assert str(conf.processing_guarantee.value) == "at_least_once"


async def test_several_brokers_may_be_named() -> None:
    conf = create_app(settings(bootstrap_servers="127.0.0.1:1, 127.0.0.2:2")).conf
    assert [str(url) for url in conf.broker] == ["kafka://127.0.0.1:1", "kafka://127.0.0.2:2"]


async def test_aiokafka_shows_the_broker_what_the_other_clients_show(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    security = {
        "protocol": "sasl_ssl",
        "username": "imagelane-batcher",
        "password_file": tmp_path / "password",
    }
    conf = create_app(settings(security=security)).conf
    shown = conf.broker_credentials
    assert isinstance(shown, SASLCredentials)
    assert shown.ssl_context is not None
    assert shown.ssl_context.check_hostname
    assert (shown.protocol.value, shown.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (shown.username, shown.password) == ("imagelane-batcher", "s3cret")
    assert create_app(settings()).conf.broker_credentials is None


def test_switching_the_sweep_off_still_asks_the_dispatcher() -> None:
    rules = BatcherSettings(sweep_after_seconds=0.0).rules()
    assert rules.sweep is False
    assert rules.stalled_after_seconds == 60.0
    assert BatcherSettings(sweep_after_seconds=5.0).rules().stalled_after_seconds == 5.0
