"""What was tried so far: a line for each run, so that a campaign that was interrupted goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.chaos.checker import read
from tests.chaos.trial import Outcome

ROOT: Final = Path(__file__).parents[2]
JUDGED: Final = ("services", "schemas")
SUFFIXES: Final = frozenset({".py", ".json", ".yaml", ".toml"})
DIGITS: Final = 12


class Ledger:
    """Runs of one state of the product's code. Those of other states stay in the file, and do not count."""

    def __init__(self, path: Path, code: str) -> None:
        self._path = path
        self._code = code
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_cut_off_line(path)
        self._runs = {
            (line["name"], line["seed"]): _outcome_of(line)
            for line in read(path)
            if line["code"] == code
        }

    def has(self, name: str, seed: int) -> bool:
        """Whether the fault was tried with this seed."""
        return (name, seed) in self._runs

    def add(self, outcome: Outcome, folder: Path | None) -> None:
        """Appends a run; a later one of the same fault and seed counts instead of it."""
        self._runs[outcome.name, outcome.seed] = outcome
        told: dict[str, Any] = {
            **dataclasses.asdict(outcome),
            "code": self._code,
            "commit": _commit(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "folder": None if folder is None else folder.name,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")

    def outcomes(self) -> list[Outcome]:
        """The newest of each fault and seed."""
        return [*self._runs.values()]


def _drop_cut_off_line(path: Path) -> None:
    if path.exists():
        text = path.read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            path.write_bytes(text[:whole])


def _outcome_of(line: dict[str, Any]) -> Outcome:
    return Outcome(**{field.name: line[field.name] for field in dataclasses.fields(Outcome)})


def code_digest() -> str:
    """A name for the product's code as it is now: other files may change without a run losing its worth."""
    digest = hashlib.sha256()
    for folder in JUDGED:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:DIGITS]


def _commit() -> str:
    asked = ("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
