"""`docs/mutants.md`, written from the patches.

python -m tests.mutants.table --write
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from tests.mutants.copies import ROOT
from tests.mutants.patches import Mutant, mutants

PAGE: Final = ROOT / "docs" / "mutants.md"
HEAD: Final = """# Mutants

Written by `make mutants-table` from the patches in `tests/mutants/patches`.

Each mutant is a bug that was put in on purpose, in a copy of the code. `make mutants` runs the tests named
here against every one of them: they must fail there, and pass on the code as it is. A *story* is a short
list of actions in the model of the whole lane (`tests/model`), after which a promise is broken.

| no | the bug | what it breaks | where | killed by |
|---|---|---|---|---|
"""


def page(all_of_them: Iterable[Mutant]) -> str:
    """The page, whole."""
    return HEAD + "".join(map(_row, all_of_them))


def _row(mutant: Mutant) -> str:
    number = mutant.name.partition("-")[0]
    files = ", ".join(f"`{file.partition('/imagelane/')[2]}`" for file in mutant.files)
    killers = ", ".join(map(_killer, mutant.killers))
    return f"| {number} | {mutant.reason} | {mutant.place} | {files} | {killers} |\n"


def _killer(test: str) -> str:
    file, _, name = test.partition("::")
    if "[" in name:
        return f"story `{name.partition('[')[2].removesuffix(']')}`"
    file = file.removeprefix("tests/")
    return f"`{file}`" + (f": {name.removeprefix('test_').replace('_', ' ')}" if name else "")


def main() -> int:
    if sys.argv[1:] != ["--write"]:
        sys.stdout.write(page(mutants()))
        return 0
    PAGE.write_text(page(mutants()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
