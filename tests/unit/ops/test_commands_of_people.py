"""What `imagelane lanes`, `cancel`, `delete` and `topics migrate` say to bad input; each names the parameter."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from imagelane.ops.cli import app

NOBODY = "127.0.0.1:1"
JOB = "a" * 32


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker: nothing of this may get as far as one, or it is told in words."""
    monkeypatch.setenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", NOBODY)
    monkeypatch.setattr("imagelane.platform.groups.REACH_SECONDS", 0.3)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cancel",), "JOB or --customer is needed"),
        (("delete",), "JOB or --customer is needed"),
        (("cancel", "not-a-job", "--customer", "acme", "--by", "kim"), "JOB"),
        (("delete", JOB, "--customer", "", "--by", "kim", "--yes"), "--customer"),
        (("cancel", "--customer", "x" * 256, "--by", "kim", "--yes"), "--customer"),
        (("cancel", JOB, "--customer", "acme", "--by", ""), "--by is needed"),
        (("lanes", "release", "acme"), "one of --retry, --treat-as-done and --treat-as-failed"),
        (("lanes", "release", "acme", "--retry", "--treat-as-done"), "one of --retry"),
        (("topics", "migrate", "--strict-partitions", "0"), "--strict-partitions"),
    ],
)
def test_wrong_usage_is_told_by_the_parameters_name(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("lanes",),
        ("lanes", "acme"),
        ("lanes", "show", "release"),
        ("topics", "migrate", "--yes"),
        ("topics", "accept", "batches", "--yes"),
    ],
)
def test_a_broker_that_is_not_there_is_named(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert f"no Kafka broker answers at {NOBODY}" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("topics", "migrate"), ("topics", "accept", "batches"), ("delete", "--customer", "acme")],
)
def test_what_cannot_be_taken_back_is_asked_about_first(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*arguments], input="n\n")
    assert result.exit_code == 1
    assert "[y/N]" in result.stdout
    assert "broker" not in result.stderr
