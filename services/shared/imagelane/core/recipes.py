"""Recipes: what is made of each image. A recipe's outputs, and so its URLs, follow from its name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

MAX_FOLDER_CHARS: Final = 200
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-")


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


def result_folder(job_id: str) -> str:
    """What all results of a job lie below, below their destination."""
    return job_id


def original_key(job_id: str, index: int) -> str:
    """Where the private part of the store keeps an original."""
    return f"{originals_folder(job_id)}/{index}"


def originals_folder(job_id: str) -> str:
    """What all originals of a job lie below."""
    return f"originals/{job_id}"


def list_key(customer_id: str, job_id: str) -> str:
    """Where the private part of the store keeps the accepted list."""
    return f"{lists_folder(customer_id)}/{job_id}"


def lists_folder(customer_id: str) -> str:
    """What all accepted lists of a customer lie below."""
    return f"lists/{folder_name(customer_id)}"


def folder_name(customer_id: str) -> str:
    """A customer's name among keys, whatever characters the ID has; no two customers share one.

    Lower-case letters, digits and `-` are themselves, every other byte is `_` and its two hexadecimal
    digits; a name that would be too long is `__` and the ID's SHA-256.
    """
    name = "".join(_shown(byte) for byte in customer_id.encode())
    if len(name) > MAX_FOLDER_CHARS:
        return f"__{hashlib.sha256(customer_id.encode()).hexdigest()}"
    return name


def _shown(byte: int) -> str:
    return chr(byte) if byte in _PLAIN else f"_{byte:02x}"
