"""The tracker's database, as far as it is there: the gateway takes lists without it, and only cannot look."""

from __future__ import annotations

import asyncio
import os
from typing import Final, Protocol

import structlog
from sqlalchemy.exc import DBAPIError

from imagelane.tracking.database import DatabaseError, DatabaseSettings
from imagelane.tracking.queries import Queries

RETRY_SECONDS: Final = 1.0
SQLITE: Final = "sqlite:///"
UNREADABLE: Final = (DatabaseError, DBAPIError)
"""What questions raise while the database cannot be read."""


class Status(Protocol):
    """Where questions go."""

    async def queries(self) -> Queries:
        """The open database. Raises `DatabaseError` while there is none; its questions raise `UNREADABLE`."""
        ...


class TrackedStatus:
    """Opens the database when it is first asked for, and tries again, at most once a second, until it is there.

    A SQLite file that somebody has put in the place of another is opened, too.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._opening = asyncio.Lock()
        self._queries: Queries | None = None
        self._file: int | None = None
        self._failure: DatabaseError | None = None
        self._tried_at = float("-inf")
        self._log = structlog.get_logger("imagelane.gateway")

    async def queries(self) -> Queries:
        """See `Status.queries`."""
        if self._queries is not None and self._file == self._file_now():
            return self._queries
        async with self._opening:
            if self._queries is not None and self._file != self._file_now():
                await self._queries.close()
                self._queries = None
            if self._queries is None:
                self._file = self._file_now()
                self._queries = await self._opened()
            return self._queries

    async def close(self) -> None:
        """Ends all connections."""
        if self._queries is not None:
            await self._queries.close()

    async def _opened(self) -> Queries:
        now = asyncio.get_running_loop().time()
        if self._failure is not None and now - self._tried_at < RETRY_SECONDS:
            raise self._failure
        self._tried_at = now
        try:
            opened = await Queries.open(self._settings)
        except DatabaseError as error:
            if self._failure is None:
                self._log.warning("status.unavailable", reason=str(error))
            self._failure = error
            raise
        self._failure = None
        self._log.info("status.available")
        return opened

    def _file_now(self) -> int | None:
        """Which file is there, for SQLite: its inode. An open connection would go on reading a deleted one."""
        if not self._settings.url.startswith(SQLITE):
            return None
        try:
            return os.stat(self._settings.url.removeprefix(SQLITE)).st_ino  # noqa: PTH116 - one per request
        except OSError:
            return None
