"""The mutants: each a small patch of the product, with the reason and the tests that must kill it in its head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "patches"
DIFF_BEGINS: Final = "--- a/"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One seeded bug. `place` says which rule it breaks; each of the `killers` is a test or a file of tests."""

    name: str
    reason: str
    place: str
    killers: tuple[str, ...]
    files: tuple[str, ...]
    path: Path


def read(path: Path) -> Mutant:
    """A patch with its head. Raises `KeyError` if the head says too little."""
    head, _, _ = path.read_text().partition(DIFF_BEGINS)
    fields = [line.partition(": ") for line in head.splitlines() if line]
    one = {name: value for name, _, value in fields}
    lines = path.read_text().splitlines()
    return Mutant(
        name=path.stem,
        reason=one["Reason"],
        place=one["Place"],
        killers=tuple(value for name, _, value in fields if name == "Killed-by"),
        files=tuple(
            line.removeprefix(DIFF_BEGINS) for line in lines if line.startswith(DIFF_BEGINS)
        ),
        path=path,
    )


def mutants() -> list[Mutant]:
    """All of them, by number."""
    return [read(path) for path in sorted(FOLDER.glob("*.patch"))]
