"""Looks at the files with secrets, and at the tracker's database."""

from __future__ import annotations

import asyncio
from pathlib import Path

from imagelane.ops.doctor.core.files import SecretFileSeen, judge_secret_files
from imagelane.ops.doctor.core.findings import Report
from imagelane.ops.doctor.core.services import DatabaseSeen, judge_database
from imagelane.tracking.database import DatabaseError, DatabaseSettings
from imagelane.tracking.queries import Queries
from imagelane.tracking.tables import SCHEMA_REVISION


def look_at_secret_files(files: tuple[tuple[str, Path], ...]) -> Report:
    """Each by the variable that names it; only its first byte is read."""
    return judge_secret_files([_seen(variable, path) for variable, path in files])


def _seen(variable: str, path: Path) -> SecretFileSeen:
    try:
        with path.open("rb") as file:
            file.read(1)
            status = path.stat()  # of what a link leads to
    except OSError as error:
        return SecretFileSeen(variable, str(path), error.strerror or str(error))
    return SecretFileSeen(variable, str(path), "", status.st_size, status.st_mode)


def look_at_database(settings: DatabaseSettings) -> Report:
    """Whether it answers, has this version's tables, and how far behind it is."""
    return judge_database(asyncio.run(_ask(settings)))


async def _ask(settings: DatabaseSettings) -> DatabaseSeen:
    try:
        queries = await Queries.open(settings)
        try:
            found = await queries.freshness()
        finally:
            await queries.close()
    except DatabaseError as error:
        return DatabaseSeen("", str(error))
    return DatabaseSeen(SCHEMA_REVISION, "", found.behind)
