"""What must hold, and how it is told when it does not."""

from __future__ import annotations

from typing import NoReturn


class PromiseBrokenError(AssertionError):
    """A promise of the product was not kept in the model."""

    def __init__(self, promise: str, detail: object) -> None:
        super().__init__(f"{promise}: {detail}")
        self.promise = promise


def broken(promise: str, detail: object = "") -> NoReturn:
    raise PromiseBrokenError(promise, detail)


def must(holds: object, promise: str, detail: object = "") -> None:
    """Raises `PromiseBrokenError` unless it holds."""
    if not holds:
        broken(promise, detail)
