"""Waiting for what comes about: looks again and again, until a deadline that a loaded machine keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import pytest

PATIENCE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.02


async def comes_about(
    holds: Callable[[], object], *, within_seconds: float = PATIENCE_SECONDS
) -> bool:
    """Whether the condition holds in time; returns as soon as it does."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


async def eventually(
    holds: Callable[[], object], *, within_seconds: float = PATIENCE_SECONDS
) -> None:
    """Returns when the condition holds; fails the test when it does not in time."""
    if not await comes_about(holds, within_seconds=within_seconds):
        pytest.fail(f"did not come about within {within_seconds} s")


async def eventually_found(
    holds: Callable[[], object], *, within_seconds: float = PATIENCE_SECONDS
) -> None:
    """The same for a condition that asks a broker: in a thread, so that the loop's services go on."""
    deadline = time.monotonic() + within_seconds
    while not await asyncio.to_thread(holds):
        if time.monotonic() > deadline:
            pytest.fail(f"was not found within {within_seconds} s")
        await asyncio.sleep(LOOK_SECONDS)


def wait_until(
    holds: Callable[[], object], what: str = "", *, within_seconds: float = PATIENCE_SECONDS
) -> None:
    """The same without a loop."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_seconds} s: {what or 'what was waited for'}")
        time.sleep(LOOK_SECONDS)
