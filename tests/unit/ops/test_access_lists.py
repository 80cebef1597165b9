"""Access lists as a broker keeps them: named by the deployment, and told to a person."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from imagelane.ops.access_lists import AccessLists, Entry, _binding, _entry, shown
from imagelane.ops.cli_topics import app
from imagelane.platform.settings import KafkaSettings

SERVERS = "127.0.0.1:1"


def test_names_have_the_deployments_prefix_and_principals_the_brokers_form() -> None:
    kafka = KafkaSettings(bootstrap_servers=SERVERS, topic_prefix="test-")
    wanted = AccessLists(kafka, "User:CN={service},O=shop").wanted()
    dispatcher = "User:CN=dispatcher,O=shop"
    assert Entry(dispatcher, "topic", "test-calls", "Write") in wanted
    assert Entry(dispatcher, "group", "test-imagelane-dispatcher", "Read") in wanted
    transactions = "test-imagelane-dispatcher-"
    assert Entry(dispatcher, "transactionalId", transactions, "Write", prefixed=True) in wanted
    assert {one.name for one in wanted if one.kind == "cluster"} == {"kafka-cluster"}


def test_every_entry_comes_back_from_a_broker_as_it_was_sent() -> None:
    wanted = AccessLists(KafkaSettings(bootstrap_servers=SERVERS)).wanted()
    odd = Entry("User:a", "topic", "calls", "Write", host="10.0.0.1", denied=True)
    for entry in (*wanted, odd):
        assert _entry(_binding(entry)) == entry


def test_a_denial_is_told_as_one() -> None:
    entry = Entry("User:a", "topic", "cal", "Write", prefixed=True, host="10.0.0.1", denied=True)
    assert str(entry) == "User:a may not Write topic cal* from 10.0.0.1"


def test_what_a_principal_may_do_with_a_resource_is_one_line() -> None:
    entries = [Entry("User:a", "topic", "calls", right) for right in ("Write", "Describe")]
    assert [line.split() for line in shown(entries)] == [
        ["User:a", "topic", "calls", "Describe,", "Write"]
    ]


def test_the_command_shows_the_lists_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", SERVERS)
    done = CliRunner().invoke(app, ["access", "--show"])
    assert done.exit_code == 0
    writers = [line for line in done.output.splitlines() if " calls " in line and "Write" in line]
    assert [line.split()[0] for line in writers] == ["User:imagelane-dispatcher"]


def test_principals_that_would_all_be_the_same_are_refused() -> None:
    done = CliRunner().invoke(app, ["access", "--principals", "User:imagelane"])
    assert done.exit_code == 2
    assert "{service}" in done.output
