"""The doctor's checks hide one another never, and its subject is whatever is set, right or wrong."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imagelane.ops.cli import app
from imagelane.ops.doctor.core.findings import Finding, Report
from imagelane.ops.doctor.examination import NAMES, examine, looks
from imagelane.ops.doctor.store import bucket_url
from imagelane.ops.doctor.subject import Subject, subject
from imagelane.ops.local_environment import keep_environment
from imagelane.platform.store_settings import S3Settings

GOOD = Report(("all is well",))


def test_a_check_that_fails_and_one_that_hangs_hide_no_other() -> None:
    released = threading.Event()

    def hangs() -> Report:
        released.wait(60)
        return GOOD

    def fails() -> Report:
        raise RuntimeError("of all things")

    wanted = {"hangs": hangs, "fails": fails, "works": lambda: GOOD}
    found = {one.check: one.report for one in examine(wanted, limit_seconds=2.0)}
    released.set()
    assert [*found] == ["hangs", "fails", "works"]
    assert "had not ended after 2 s" in found["hangs"].findings[0].what
    assert "RuntimeError: of all things" in found["fails"].findings[0].what
    assert found["works"].result == "good"


def test_checks_run_side_by_side() -> None:
    together = threading.Barrier(3, timeout=30)

    def meets() -> Report:
        together.wait()
        return GOOD

    found = list(examine({"a": meets, "b": meets, "c": meets}, limit_seconds=60))
    assert [one.report.result for one in found] == ["good"] * 3


def test_every_check_has_a_name_in_the_order_in_which_they_are_shown() -> None:
    assert tuple(looks(Subject())) == NAMES


def test_what_is_not_set_is_skipped_by_the_name_of_its_variables() -> None:
    for name in ("brokers", "store", "database", "batch-api", "callback"):
        report = looks(Subject())[name]()
        assert report.result == "skipped"
        assert "IMAGELANE_" in report.skipped


def test_a_wrong_group_of_settings_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    monkeypatch.setenv("IMAGELANE_DATABASE__URL", "mysql://x")
    monkeypatch.setenv("IMAGELANE_STORE__PRIVATE_BUCKET", "b")
    monkeypatch.setenv("IMAGELANE_BATCH_API__TOKEN_FILE", str(tmp_path / "absent"))
    seen = subject(None, services={}, login="ops")
    assert seen.kafka is not None
    assert (seen.database, seen.store, seen.batch_api) == (None, None, None)
    assert {
        "IMAGELANE_DATABASE__URL",
        "IMAGELANE_STORE__PRIVATE_BUCKET",
        "IMAGELANE_STORE__DESTINATIONS",
        "IMAGELANE_BATCH_API__TOKEN_FILE",
        "IMAGELANE_BATCH_API__BASE_URL",
    } <= {one.where for one in seen.wrong}
    assert ("IMAGELANE_BATCH_API__TOKEN_FILE", tmp_path / "absent") in seen.secret_files


def test_every_setting_that_names_a_secrets_file_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    single = (
        *("INTAKE__DEPLOYMENT_SECRET_FILE", "GATEWAY__DEPLOYMENT_SECRET_FILE"),
        *("BATCH_API__TOKEN_FILE", "DATABASE__PASSWORD_FILE", "STORE__S3__SECRET_ACCESS_KEY_FILE"),
        *("KAFKA__SECURITY__KEY_FILE", "KAFKA__SECURITY__PASSWORD_FILE"),
    )
    several = ("GATEWAY__WEBHOOK_SECRET_FILES", "NOTIFY_SIGNING__SECRET_FILES")
    for name in single:
        monkeypatch.setenv(f"IMAGELANE_{name}", "/x")
    for name in several:
        monkeypatch.setenv(f"IMAGELANE_{name}", '["/x"]')
    found = {name for name, _ in subject(None, services={}, login="ops").secret_files}
    assert found == {f"IMAGELANE_{name}" for name in (*single, *several)}


def test_the_settings_that_a_local_stack_leaves_are_found_again(tmp_path: Path) -> None:
    destinations = json.dumps(
        {"default": {"directory": "/it's here", "public_base_url": "http://127.0.0.1/public"}}
    )
    variables = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9092",
        "IMAGELANE_STORE__PRIVATE_DIRECTORY": "/private part",
        "IMAGELANE_STORE__DESTINATIONS": destinations,
    }
    keep_environment(tmp_path, variables, {"intake": 9_090})
    seen = subject(tmp_path / "environment", services={"gateway": "http://g"}, login="ops")
    assert seen.wrong == ()
    assert seen.store is not None
    assert seen.store.destinations["default"].directory == Path("/it's here")
    assert seen.services == {"intake": "http://127.0.0.1:9090", "gateway": "http://g"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "nonsense"], "--only: there is no check 'nonsense'"),
        (["--as", "nobody"], "--as: there is no service 'nobody'"),
        (["--service", "intake"], "--service: 'intake' is not NAME=http://host:port"),
        ([], "nothing is set here"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_option(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {} if not arguments else {"IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = CliRunner().invoke(app, ["doctor", *arguments], env=environment)
    assert done.exit_code == 2
    assert words in done.output


def test_a_wrong_setting_is_told_whichever_checks_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": "elsewhere:9092"}
    done = CliRunner().invoke(app, ["doctor", "--only", "brokers"], env=environment)
    assert done.exit_code == 1
    assert "settings: IMAGELANE_KAFKA__SECURITY: plaintext would leave" in done.output


def test_a_local_stacks_settings_are_taken_only_where_nothing_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagelane-data").mkdir()
    keep_environment(
        tmp_path / "imagelane-data", {"IMAGELANE_DATABASE__URL": "sqlite:///local.sqlite"}, {}
    )
    arguments = ["doctor", "--only", "database"]
    assert "local.sqlite" in CliRunner().invoke(app, arguments).output
    other = {"IMAGELANE_INTAKE__DEPLOYMENT_SECRET_FILE": str(tmp_path)}
    assert "is not set here" in CliRunner().invoke(app, arguments, env=other).output


def test_findings_are_shown_with_their_place_and_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    variables = {"IMAGELANE_DATABASE__URL": "sqlite:///nowhere.sqlite"}
    done = CliRunner().invoke(app, ["doctor", "--only", "database"], env=variables)
    assert done.exit_code == 1
    assert "1. database: IMAGELANE_DATABASE__URL: there is no nowhere.sqlite yet" in done.output
    assert "   → " in done.output


def test_a_report_is_as_bad_as_its_worst() -> None:
    assert Report().result == "good"
    assert Report(skipped="unset").result == "skipped"
    assert Report(findings=(Finding("a", "b", "c"),), skipped="unset").result == "finding"


@pytest.mark.parametrize(
    ("endpoint", "path_style", "url"),
    [
        (None, False, "https://results.s3.eu-west-1.amazonaws.com"),
        ("https://s3.example:7070", False, "https://results.s3.example:7070"),
        ("https://s3.example/", False, "https://results.s3.example"),
        ("https://s3.example:7070", True, "https://s3.example:7070/results"),
        ("http://127.0.0.1:7070", False, "http://127.0.0.1:7070/results"),
    ],
)
def test_strangers_look_where_the_client_of_the_store_goes(
    endpoint: str | None, path_style: bool, url: str
) -> None:
    settings = S3Settings(endpoint_url=endpoint, region="eu-west-1", path_style=path_style)
    assert str(bucket_url(settings, "results")) == url
