"""Copies of the code, with and without a mutation, and runs of tests inside of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
from tests.mutants.patches import Mutant

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("services", "tests", "schemas", "pyproject.toml")
RUN_SECONDS: Final = 300
REPORT: Final = "tests-in-a-copy.json"


class Outcome(msgspec.Struct, kw_only=True):
    """What a run of tests came to. `strangers` are modules of ours that are not from the copy."""

    passed: list[str] = []
    failed: list[str] = []
    errors: list[str] = []
    strangers: list[str] = []
    said: str = ""


class PatchDoesNotFitError(Exception):
    """The code has changed where the patch changes it; the message says which patch, and where."""


def copy_of(source: Path, target: Path) -> Path:
    """A copy of the code in `source`, made in the folder `target`."""
    return _brought(source, target, shutil.copy2)


def linked_copy_of(source: Path, target: Path) -> Path:
    """The same on the same file system, of hard links: two thousand files are much for each mutant.

    Patches and Python replace files and never write into them, so the source stays what it is.
    """
    return _brought(source, target, os.link)


def _brought(source: Path, target: Path, bring: Callable[[str, str], object]) -> Path:
    for name in COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=bring)
        else:
            bring(str(source / name), str(target / name))
    return target


def mutate(copy: Path, mutant: Mutant) -> None:
    """Applies the patch. Raises `PatchDoesNotFitError`."""
    not_in_a_repository = f"GIT_CEILING_DIRECTORIES={copy.parent}"
    done = _command(copy, not_in_a_repository, "git", "apply", "-C1", str(mutant.path))
    if done.returncode:
        raise PatchDoesNotFitError(f"{mutant.name}: {done.stderr}")


def run(copy: Path, tests: Iterable[str]) -> Outcome:
    """Runs tests in a copy, up to the first that fails, with the copy's code and no other."""
    services = sorted(str(path) for path in (copy / "services").iterdir())
    python_path = ":".join([*services, str(copy)])
    report = copy / REPORT
    report.unlink(missing_ok=True)
    pytest = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
    # A folder of its own: else each of these runs also clears away what earlier sessions have left.
    own = ("--basetemp", str(copy / "temporary"), "-p", "tests.mutants.reporting")
    done = _command(copy, f"PYTHONPATH={python_path}", *pytest, *own, *tests)
    if not report.exists():
        return Outcome(errors=["pytest did not come to its end"], said=done.stdout + done.stderr)
    outcome = msgspec.json.decode(report.read_bytes(), type=Outcome)
    outcome.said = done.stdout[-4_000:] + done.stderr[-1_000:]
    return outcome


def _command(folder: Path, variable: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/env", variable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
