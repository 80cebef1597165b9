"""Every `imagelane …` that the documentation names is a command, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from imagelane.ops.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "services").glob("*/README.md"))
CALLED = re.compile(r"(?<!--namespace)(?:^|[\s;&|(])(?:\S*/)?imagelane\s+([a-z-][^`;|&#\n]*)")
USUAL = "show"
IN_CODE = re.compile(r"`([^`\n]+)`")
CONTINUED = re.compile(r"\\\n\s*")


def calls_in(page: Path) -> Iterator[str]:
    """What follows `imagelane ` in code: between backticks, and in indented or fenced blocks."""
    text = CONTINUED.sub("", page.read_text())
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        is_block = fenced or (line.startswith("    ") and "`" not in line)
        for code in [line] if is_block else IN_CODE.findall(line):
            yield from CALLED.findall(code)


CALLS = sorted(
    {(page.relative_to(ROOT).as_posix(), call) for page in PAGES for call in calls_in(page)}
)


def words_of(call: str) -> list[str]:
    try:
        return shlex.split(call)
    except ValueError:
        return call.split()


def trouble_with(call: str) -> str:
    """Why it is no call of ours, or an empty string."""
    command: Any = get_command(app)
    words = words_of(call)
    while hasattr(command, "get_command"):
        name = words[0] if words else ""
        found = command.get_command(None, name)
        if found is None and (usual := command.get_command(None, USUAL)) is not None:
            command = usual  # a group whose usual command need not be named
        elif found is None:
            return f"there is no command {name!r}" if name.isalpha() else ""
        else:
            command, words = found, words[1:]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    options = {word.partition("=")[0].rstrip("`.,:)") for word in words if word.startswith("--")}
    unknown = options - known - {"--help", "--", "--…"}
    return f"{command.name} has no option {', '.join(sorted(unknown))}" if unknown else ""


def test_the_documentation_is_read() -> None:
    assert len(CALLS) > 50
    assert any("topics migrate" in call for _, call in CALLS)


@pytest.mark.parametrize(("page", "call"), CALLS)
def test_a_command_that_a_page_names_exists(page: str, call: str) -> None:
    assert trouble_with(call) == "", page


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("topics grow", "no command 'grow'"),
        ("doktor", "no command 'doktor'"),
        ("doctor --onyl brokers", "no option --onyl"),
        ("lanes release acme --again", "no option --again"),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(call: str, words: str) -> None:
    assert words in trouble_with(call)
