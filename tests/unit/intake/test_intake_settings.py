"""Intake's settings: the deployment secret, from a value or from a file, and never without."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from imagelane.intake.settings import IntakeSettings, Settings
from imagelane.platform.settings import SettingsError, load

SECRET = "sixteen letters!"


def test_the_secret_is_a_value_or_the_content_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert IntakeSettings(deployment_secret=SECRET).secret() == SECRET.encode()  # type: ignore[arg-type] # pydantic wraps it
    assert IntakeSettings(deployment_secret_file=file).secret() == SECRET.encode()


def test_the_secret_is_never_shown() -> None:
    assert SECRET not in repr(IntakeSettings(deployment_secret=SECRET))  # type: ignore[arg-type] # pydantic wraps it


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "either the secret or a file"),
        ({"deployment_secret": "short"}, "at least 16"),
        ({"deployment_secret_file": "/nowhere/at/all"}, "file"),
        ({"deployment_secret": SECRET, "deployment_secret_file": __file__}, "either"),
        ({"deployment_secret": SECRET, "max_list_lines": 1_000_001}, "1000000"),
        ({"deployment_secret": SECRET, "max_unread": 0}, "greater"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        IntakeSettings.model_validate(given)


def test_a_missing_secret_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("IMAGELANE_STORE__PRIVATE_DIRECTORY", str(tmp_path / "private"))
    monkeypatch.setenv(
        "IMAGELANE_STORE__DESTINATIONS",
        f'{{"default": {{"directory": "{tmp_path}/public", "public_base_url": "http://cdn.example"}}}}',
    )
    monkeypatch.setenv("IMAGELANE_INTAKE__MAX_LIST_LINES", "100")
    with pytest.raises(SettingsError, match="IMAGELANE_INTAKE__DEPLOYMENT_SECRET_FILE"):
        load(Settings)
    monkeypatch.setenv("IMAGELANE_INTAKE__DEPLOYMENT_SECRET", SECRET)
    assert load(Settings).intake.max_list_lines == 100
