"""`imagelane keys`: what is wrong is named before any broker is asked, and a secret is shown once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imagelane.contracts.keys import KeyRecorded
from imagelane.core.api_keys import KeyRing, sha256_of
from imagelane.core.notifying import notify_secret
from imagelane.ops import cli_keys, key_records
from imagelane.ops.cli import app


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> KeyRing:
    """The topic `keys`, as a ring in memory."""
    ring = KeyRing()
    monkeypatch.setenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr(key_records, "read_keys", lambda _settings: ring)
    monkeypatch.setattr(cli_keys, "read_keys", lambda _settings: ring)
    monkeypatch.setattr(key_records, "put", lambda _settings, key: ring.fold(key))
    return ring


def keys(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["keys", *arguments])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["create"], "--customer"),
        (["create", "--customer", "acme", "--operator"], "--operator"),
        (["create", "--operator", "--scope", "read"], "--scope"),
        (["create", "--customer", "acme", "--scope", "write"], "--scope: 'write'"),
        (["create", "--customer", "acme", "--scope", "operate"], "--scope: 'operate'"),
        (
            ["create", "--customer", "a\nb"],
            "--customer: it has a form or characters that it may not",
        ),
        (["create", "--customer", ""], "--customer"),
        (["create", "--customer", "acme", "--name", ""], "--name"),
        (["create", "--customer", "acme", "--days", "0"], "--days"),
        (["revoke"], "key_id"),
    ],
)
def test_a_wrong_argument_is_named(topic: KeyRing, arguments: list[str], named: str) -> None:
    result = keys(*arguments)
    assert result.exit_code == 2
    assert named in result.output
    assert topic.all() == []


def test_a_key_is_shown_once_and_only_its_hash_is_kept(topic: KeyRing) -> None:
    result = keys("create", "--customer", "acme", "--name", "shop", "--days", "30")
    assert result.exit_code == 0
    token = result.stdout.strip()
    [kept] = topic.all()
    assert kept.secret_sha256 == sha256_of(token)
    assert (kept.customer_id, kept.scopes, kept.name) == ("acme", ["read", "submit"], "shop")
    assert token.split("_")[2] not in str(kept)
    assert topic.caller(token, datetime.now(UTC)).customer_id == "acme"


def test_keys_are_listed_without_secrets_and_revoked(topic: KeyRing) -> None:
    made = json.loads(keys("create", "--customer", "acme", "--scope", "read", "--json").stdout)
    keys("create", "--operator", "--name", "on call")
    assert keys("revoke", made["key_id"]).exit_code == 0
    lines = keys("list").stdout.splitlines()
    assert "revoked" in lines[0]
    assert "(operator)" in lines[1]
    assert lines[1].index("on call") == lines[0].index("acme") + len("(operator)  ")
    assert len(topic.all()) == len(lines) == 2
    [told] = [
        json.loads(line)
        for line in keys("list", "--customer", "acme", "--json").stdout.splitlines()
    ]
    assert (told["state"], told["scopes"], "key" in told) == ("revoked", ["read"], False)


def test_a_third_live_key_and_an_unknown_one_are_refused(topic: KeyRing) -> None:
    for _ in range(2):
        assert keys("create", "--customer", "acme").exit_code == 0
    assert keys("create", "--customer", "acme").exit_code == 1
    assert keys("revoke", "nobody").exit_code == 1
    assert len(topic.all()) == 2


def test_of_two_keys_made_at_the_same_moment_the_later_gives_way(
    topic: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys("create", "--customer", "acme")

    def put_with_another(_settings: object, key: KeyRecorded) -> None:
        if len(topic.all()) == 1:
            other = key_records.record_of(
                key_records.new_token(),
                name="other",
                customer_id="acme",
                scopes=["read"],
                expires_at=None,
                now=datetime.now(UTC),
            )
            topic.fold(other)
        topic.fold(key)

    monkeypatch.setattr(key_records, "put", put_with_another)
    assert keys("create", "--customer", "acme", "--name", "late").exit_code == 1
    assert [one.name for one in topic.live("acme", datetime.now(UTC))] == ["unnamed", "other"]


def test_a_customers_notify_secrets_are_shown_without_a_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new", "old"):
        (tmp_path / name).write_text(name * 11)
    files = json.dumps([str(tmp_path / "new"), str(tmp_path / "old")])
    monkeypatch.setenv("IMAGELANE_NOTIFY_SIGNING__SECRET_FILES", files)
    wanted = [notify_secret(name.encode() * 11, "acme") for name in ("new", "old")]
    assert keys("notify-secret", "acme").stdout.split() == wanted
    told = json.loads(keys("notify-secret", "acme", "--json").stdout)
    assert told == {"customer_id": "acme", "secrets": wanted}


@pytest.mark.parametrize(("customer", "named"), [("", "CUSTOMER"), ("acme", "SECRET_FILES")])
def test_without_a_customer_or_a_master_secret_there_is_none(customer: str, named: str) -> None:
    result = keys("notify-secret", customer)
    assert result.exit_code == 2
    assert named in result.stderr
