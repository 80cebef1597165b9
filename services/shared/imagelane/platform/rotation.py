"""Credentials that change while a service runs: it ends in order, and its next start reads them."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from imagelane.platform.kafka_security import SecuritySettings

LOOK_SECONDS: Final = 30.0
SPREAD_SECONDS: Final = 120.0
"""Files change for all workers at once; they do not end at once. Old credentials hold for so long, and longer."""


async def end_when_changed(security: SecuritySettings, stop: asyncio.Event) -> None:
    """Sets `stop` some time after the files of Kafka's security have got another content that is usable.

    Of a content that is not, such as a key before its certificate, it warns, and waits for the next one.
    """
    files = security.files()
    if not files:
        return
    log = structlog.get_logger("imagelane.rotation")
    known = await asyncio.to_thread(_contents, files)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        found = await asyncio.to_thread(_contents, files)
        if found == known:
            continue
        known, problem = found, await asyncio.to_thread(_problem, security)
        if not problem:
            break
        log.warning("credentials.unusable", reason=problem)
    log.info("credentials.changed", files=[str(one) for one in files])
    await asyncio.sleep(random.uniform(0.0, SPREAD_SECONDS))  # noqa: S311 - nothing has to be unguessable
    stop.set()


def _contents(files: list[Path]) -> list[bytes]:
    return [_digest(one) for one in files]


def _digest(file: Path) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError:
        return b""


def _problem(security: SecuritySettings) -> str:
    """Why a start would refuse the files; empty if it would not."""
    try:
        SecuritySettings.model_validate(security.model_dump())
    except ValidationError as error:
        return "; ".join(str(one["msg"]) for one in error.errors())
    return ""
