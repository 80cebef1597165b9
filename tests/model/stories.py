"""Stories worth keeping: short ways to break a promise, of bugs that were mended and of mutants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
from tests.model.scene import DRAIN_SECONDS, Setup
from tests.model.walks import Step, tell

FOLDER: Final = Path(__file__).parent / "stories"


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A story and its world. `breaks`: what it broke when it was found."""

    breaks: str
    level: str
    item_attempts: int = 1
    sweeps: bool = False
    drain_seconds: float = DRAIN_SECONDS
    steps: list[Step]

    @property
    def setup(self) -> Setup:
        return Setup(
            self.level,  # type: ignore[arg-type] # one of the four letters
            item_attempts=self.item_attempts,
            sweeps=self.sweeps,
            drain_seconds=self.drain_seconds,
        )

    def happen(self) -> None:
        """With the product's own waits. Raises `PromiseBrokenError`."""
        tell(replace(self.setup, drain_seconds=DRAIN_SECONDS), self.steps)


def names() -> list[str]:
    """Every story that is kept."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str) -> Kept:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Kept)


def save(name: str, kept: Kept) -> None:
    """One step a line, so that a person can read it."""
    head = msgspec.json.encode(msgspec.structs.replace(kept, steps=[])).decode()
    steps = ",\n".join("  " + msgspec.json.encode(step).decode() for step in kept.steps)
    FOLDER.mkdir(exist_ok=True)
    text = head.removesuffix("[]}") + "[\n" + steps + "\n]}\n"
    (FOLDER / f"{name}.json").write_text(text)
