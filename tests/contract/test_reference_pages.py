"""The reference pages of `docs/` follow from schemas and settings classes, and are current."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from imagelane.contracts.schemas import EVENTS
from imagelane.contracts.topic_files import schemas_folder
from imagelane.ops import reference, settings_reference
from imagelane.ops.settings_reference import Setting, page, settings_classes, settings_of
from imagelane.platform.settings import ENV_NESTED, ENV_PREFIX, SettingsGroup

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["events.md", "configuration.md", "failures.md", "lanes.md", "metrics.md"]
)
def test_a_page_is_current(name: str) -> None:
    made = reference.pages(schemas_folder())[ROOT / "docs" / name]
    assert (ROOT / "docs" / name).read_text() == made, "python -m imagelane.ops.reference --write"


def test_the_command_names_and_then_writes_what_is_not_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "schemas").symlink_to(schemas_folder())
    monkeypatch.setattr(reference, "schemas_folder", lambda: tmp_path / "schemas")
    assert reference.main(["--check"]) == 1
    assert f"{tmp_path / 'docs' / 'events.md'}: not current" in capsys.readouterr().err
    assert list((tmp_path / "docs").iterdir()) == []
    assert reference.main(["--write"]) == 0
    assert reference.main(["--check"]) == 0


def test_the_catalogue_tells_every_event_and_links_to_every_example() -> None:
    catalogue = (ROOT / "docs" / "events.md").read_text()
    for event in EVENTS:
        assert f"\n### {event}\n" in catalogue
    for example in (schemas_folder() / "examples").glob("*/*.json"):
        assert f"(../{example.relative_to(ROOT)})" in catalogue


def test_every_service_with_settings_is_told() -> None:
    folders = {path.parts[-2] for path in (ROOT / "services").glob("*/imagelane/*/settings.py")}
    assert set(settings_classes()) == folders - {"platform"}


@pytest.mark.parametrize("service", settings_classes())
def test_every_setting_says_what_it_means(service: str) -> None:
    silent = [one.variable for one in settings_of(settings_classes()[service]) if not one.meaning]
    assert silent == []


@pytest.mark.parametrize("service", settings_classes())
def test_a_group_of_settings_has_no_defaults_but_those_of_its_class(service: str) -> None:
    """One variable set, and pydantic-settings would fall back to the class's for all others."""
    for field in settings_classes()[service].model_fields.values():
        if isinstance(field.default, SettingsGroup):
            assert field.default == type(field.default)()


class _Place(SettingsGroup):
    kind: Literal["near", "far"] = "near"
    size_bytes: int = Field(ge=1, le=9, description="How | large.")


class _Inner(SettingsGroup):
    places: dict[str, _Place] = Field(min_length=1)
    note: str | None = Field(default=None, max_length=5)


class _Settings(BaseSettings):
    inner: _Inner
    optional: _Inner | None = None
    place: _Place = _Place(size_bytes=7)
    token: SecretStr
    words: list[str] = Field(default_factory=list, min_length=1)
    share: float = Field(default=0.5, gt=0, lt=1)


def test_groups_names_defaults_and_ranges_are_told() -> None:
    told = {one.variable.removeprefix(ENV_PREFIX): one for one in settings_of(_Settings)}
    rows = {
        "INNER__PLACES__<NAME>__KIND": ("`near` or `far`", "`near`", ""),
        "INNER__PLACES__<NAME>__SIZE_BYTES": ("whole number", "**required**", "1 to 9"),
        "INNER__NOTE": ("text", "none", "at most 5 characters"),
        "OPTIONAL__NOTE": ("text", "none", "at most 5 characters"),
        "PLACE__SIZE_BYTES": ("whole number", "`7`", "1 to 9"),
        "TOKEN": ("secret text", "**required**", ""),
        "WORDS": ("list of text", "none", "not empty"),
        "SHARE": ("number", "`0.5`", "more than 0, less than 1"),
    }
    assert {name: (told[name].kind, told[name].default, told[name].bounds) for name in rows} == rows


def test_what_services_share_stands_once_under_their_names() -> None:
    class Other(BaseSettings):
        inner: _Inner
        own: int = 3

    class Third(BaseSettings):
        own: int = 4

    text = page({"a": _Settings, "b": Other, "c": Third})
    assert text.count(f"`{ENV_PREFIX}INNER{ENV_NESTED}NOTE`") == 1
    assert text.index("## a and b") < text.index("INNER__NOTE") < text.index("## a\n")
    assert text.index("## b\n") < text.index("`3`") < text.index("## c\n") < text.index("`4`")
    assert "How \\| large." in text


def test_a_row_shows_the_variable_as_somebody_sets_it() -> None:
    row = Setting("IMAGELANE_X", "text", "none", "", "").row
    assert row[0] == "`IMAGELANE_X`"
    assert settings_reference.page({}).startswith("# Configuration\n")
