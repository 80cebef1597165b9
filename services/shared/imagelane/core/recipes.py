"""Recipes: what is made of each image. A recipe's outputs, and so its URLs, follow from its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One named output: a JPEG fitted into `box` pixels (never enlarged), or at full size."""

    name: str
    extension: str
    content_type: str
    box: tuple[int, int] | None
    quality: int

    @property
    def file_name(self) -> str:
        """`<name>.<extension>`, the last part of the public URL."""
        return f"{self.name}.{self.extension}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named list of outputs, at least one."""

    name: str
    outputs: tuple[OutputSpec, ...]


RECIPES: Final[dict[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Recipe("default", (OutputSpec("image", "jpg", "image/jpeg", (1024, 1024), 85),)),
        Recipe("original-size", (OutputSpec("image", "jpg", "image/jpeg", None, 85),)),
    )
}


def result_path(job_id: str, index: int, output: OutputSpec) -> str:
    """Where an output lies below its destination, in the store and in its public URL alike."""
    return f"{job_id}/{index}/{output.file_name}"


def original_key(job_id: str, index: int) -> str:
    """Where the private part of the store keeps an original."""
    return f"originals/{job_id}/{index}"


def list_key(job_id: str) -> str:
    """Where the private part of the store keeps the accepted list."""
    return f"lists/{job_id}"
