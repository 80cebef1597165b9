"""Contradictory settings of the stores are refused before anything is opened, naming the variable."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagelane.platform.settings import ENV_NESTED, ENV_PREFIX, SettingsError, load
from imagelane.platform.store_settings import StoreSettings
from imagelane.platform.stores import destinations_of


class OnlyStores(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_NESTED)

    store: StoreSettings


GOOD = {
    "STORE__PRIVATE_DIRECTORY": "private",
    "STORE__DESTINATIONS__MAIN__DIRECTORY": "public",
    "STORE__DESTINATIONS__MAIN__PUBLIC_BASE_URL": "http://127.0.0.1:8000/results",
}


def loaded(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None]) -> OnlyStores:
    for name, value in {**GOOD, **changes}.items():
        if value is not None:
            monkeypatch.setenv(ENV_PREFIX + name, value)
    return load(OnlyStores)


def test_a_directory_for_each_part_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, {}).store
    assert settings.private_directory == Path("private")
    destination = destinations_of(settings)["main"]
    assert (destination.name, destination.prefix) == ("main", "")


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"STORE__PRIVATE_DIRECTORY": None}, "STORE__PRIVATE_DIRECTORY"),
        ({"STORE__PRIVATE_BUCKET": "b"}, "STORE__PRIVATE_BUCKET"),
        ({"STORE__PRIVATE_KIND": "s3"}, "STORE__PRIVATE_BUCKET"),
        (
            {"STORE__PRIVATE_KIND": "s3", "STORE__PRIVATE_BUCKET": "b"},
            "STORE__PRIVATE_DIRECTORY",
        ),
        (
            {"STORE__DESTINATIONS__MAIN__DIRECTORY": None},
            "STORE__DESTINATIONS__MAIN__DIRECTORY",
        ),
        ({"STORE__DESTINATIONS__MAIN__KIND": "s3"}, "STORE__DESTINATIONS__MAIN__BUCKET"),
        ({"STORE__DESTINATIONS__MAIN__BUCKET": "b"}, "STORE__DESTINATIONS__MAIN__BUCKET"),
        ({"STORE__S3__ACCESS_KEY_ID": "id"}, "STORE__S3__SECRET_ACCESS_KEY_FILE"),
        ({"STORE__DESTINATIONS__MAIN__ACCESS": "presigned"}, "STORE__DESTINATIONS__MAIN__ACCESS"),
        (
            {"STORE__DESTINATIONS__MAIN__PRESIGNED_SECONDS": "604801"},
            "STORE__DESTINATIONS__MAIN__PRESIGNED_SECONDS",
        ),
        (
            {
                "STORE__DESTINATIONS__MAIN__DIRECTORY": None,
                "STORE__DESTINATIONS__MAIN__KIND": "s3",
                "STORE__DESTINATIONS__MAIN__BUCKET": "b",
                "STORE__DESTINATIONS__MAIN__ACCESS": "presigned",
            },
            "STORE__S3",
        ),
        (
            {"STORE__S3__SECRET_ACCESS_KEY_FILE": "/nowhere/secret"},
            "STORE__S3__SECRET_ACCESS_KEY_FILE",
        ),
        ({"STORE__PRIVATE_DIRECTORY": "public"}, "STORE__DESTINATIONS"),
        ({"STORE__PRIVATE_DIRECTORY": "public/inside"}, "STORE__DESTINATIONS"),
        ({"STORE__PRIVATE_DIRECTORY": "public/../public"}, "STORE__DESTINATIONS"),
    ],
)
def test_a_contradiction_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], variable: str
) -> None:
    with pytest.raises(SettingsError, match=rf"{ENV_PREFIX}{variable}: "):
        loaded(monkeypatch, changes)


def test_a_bucket_that_would_publish_the_private_part_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket: dict[str, str | None] = {
        "STORE__PRIVATE_KIND": "s3",
        "STORE__PRIVATE_DIRECTORY": None,
        "STORE__PRIVATE_BUCKET": "b",
        "STORE__PRIVATE_PREFIX": "private/",
        "STORE__DESTINATIONS__MAIN__KIND": "s3",
        "STORE__DESTINATIONS__MAIN__DIRECTORY": None,
        "STORE__DESTINATIONS__MAIN__BUCKET": "b",
    }
    with pytest.raises(SettingsError, match="would publish the private part"):
        loaded(monkeypatch, bucket)
    loaded(monkeypatch, {**bucket, "STORE__DESTINATIONS__MAIN__PREFIX": "public/"})


def test_an_installation_with_directories_only_needs_no_aioboto3() -> None:
    check = "import sys, imagelane.platform.stores; sys.exit('aioboto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
