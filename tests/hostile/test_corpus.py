"""What fuzzing once found, and a few seeds: `fuzz.py` says how to look for more."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hostile.fuzz import SEEDS
from tests.hostile.fuzz_targets import TARGETS

FILES = sorted(path for path in SEEDS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_fuzzing_found_is_harmless(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())


def test_every_target_has_seeds() -> None:
    assert {file.parent.name for file in FILES} == set(TARGETS)
