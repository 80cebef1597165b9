"""Where the tracker's database is: SQLite in a file, or PostgreSQL. The same for those who only read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import Field, FilePath
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from imagelane.platform.secret_files import read_secret
from imagelane.platform.settings import SettingsGroup, variable_of
from imagelane.tracking.tables import SCHEMA_REVISION

READER_CACHE_KIB: Final = 8_192
WRITER_CACHE_KIB: Final = 32_768
BUSY_MS: Final = 60_000
"""Writers wait so long for each other: a rebuild may have to delete millions of rows."""
POOL: Final = 5


class DatabaseError(Exception):
    """There is no database, or one of another version; the message says what to do."""


class UnansweredError(DatabaseError):
    """The database's server does not answer, or does not let us in; the message names the variables."""


class DatabaseSettings(SettingsGroup):
    """Where the tracker's database is."""

    url: str = Field(
        pattern=r"^(sqlite:///.+|postgresql://[^:/@\s]+@[^\s]+)$",
        description="`sqlite:///<path of a file>`, or `postgresql://<user>@<host>[:<port>]/<database>`.",
    )
    password_file: FilePath | None = Field(
        default=None, description="For PostgreSQL: a file with the password, which the URL has not."
    )

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of this machine, with one writer."""
        return self.url.startswith("sqlite")

    @property
    def path(self) -> str:
        """The file of an SQLite database."""
        return self.url.removeprefix("sqlite:///")

    def address(self, driver: str) -> URL:
        """The URL with its password, for this driver."""
        url = make_url(self.url)
        if self.password_file is not None:
            url = url.set(password=read_secret(self.password_file))
        return url.set(drivername=driver)


def writing_engine(settings: DatabaseSettings) -> Engine:
    """For the one that writes: a transaction takes the right to write when it begins, and waits for it."""
    if not settings.is_sqlite:
        # A replica that is stopped in the middle, or cut off, must not keep the others from writing.
        patience = f"-c idle_in_transaction_session_timeout={BUSY_MS} -c lock_timeout={2 * BUSY_MS}"
        return create_engine(
            settings.address("postgresql+psycopg"), connect_args={"options": patience}
        )
    engine = create_engine(settings.address("sqlite+pysqlite"), connect_args={"timeout": BUSY_MS})
    pragmas = {
        "journal_mode": "WAL",
        "synchronous": "NORMAL",  # a loss of power takes the last batches, and they are read again
        "busy_timeout": BUSY_MS,
        "cache_size": -WRITER_CACHE_KIB,
        "journal_size_limit": 64 * 2**20,
    }
    _prepare(engine, pragmas, begin="BEGIN IMMEDIATE")
    return engine


def reading_engine(settings: DatabaseSettings) -> AsyncEngine:
    """For everybody else: it can write nothing. Readers never wait for the writer, nor it for them."""
    if not settings.is_sqlite:
        return create_async_engine(
            settings.address("postgresql+psycopg"),
            pool_size=POOL,
            pool_pre_ping=True,
            connect_args={"options": "-c default_transaction_read_only=on"},
        )
    engine = create_async_engine(settings.address("sqlite+aiosqlite"), pool_size=POOL)
    pragmas = {"query_only": "ON", "busy_timeout": BUSY_MS, "cache_size": -READER_CACHE_KIB}
    _prepare(engine.sync_engine, pragmas, begin="BEGIN")
    return engine


@contextmanager
def answered(settings: DatabaseSettings) -> Iterator[None]:
    """For the first connection. Raises `UnansweredError` where there is none, with the server's own words."""
    try:
        yield
    except OperationalError as error:
        password = variable_of(("database", "password_file"))
        known = "" if settings.password_file is None else f" ({settings.password_file})"
        raise UnansweredError(
            f"{variable_of(('database', 'url'))}: {settings.url}: {str(error.orig).strip()};"
            f" the password is that of {password}{known}"
        ) from error


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for one question. Raises `DatabaseError` where the database does not answer."""
    try:
        async with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise DatabaseError(f"the tracker's database cannot be read: {error.orig}") from error


def _prepare(engine: Engine, pragmas: Mapping[str, object], *, begin: str) -> None:
    """Python's own driver would begin transactions late, at the first write; so we do it."""

    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def require_file(settings: DatabaseSettings) -> None:
    """Raises `DatabaseError` where a file is asked for that is not there: SQLite would make an empty one."""
    if settings.is_sqlite and not Path(settings.path).exists():
        raise DatabaseError(f"there is no {settings.path} yet: the tracker makes it")


class FileWatch:
    """Notices that an SQLite file was deleted or put in the place of another one: a connection would not.

    It goes on writing what nobody can read any more. Of a PostgreSQL there is nothing to notice.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self._path = Path(settings.path) if settings.is_sqlite else None
        self._file = self._file_now()

    def check(self) -> None:
        """Raises `DatabaseError`: another process makes the file anew."""
        if self._file_now() != self._file:
            raise DatabaseError(f"{self._path} was deleted, or is another file now")

    def _file_now(self) -> int | None:
        if self._path is None:
            return None
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return 0


def revision_of(connection: Connection) -> str | None:
    """Which migration the database stands at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(
        select(sql("version_num")).select_from(sql("alembic_version"))
    ).scalar()


def require_revision(connection: Connection) -> None:
    """Raises `DatabaseError` unless the tables are those that this version knows."""
    have = revision_of(connection)
    if have is not None and have > SCHEMA_REVISION:
        raise DatabaseError(
            f"the tracker's database is at migration {have}, of a newer version than this one, which knows"
            f" {SCHEMA_REVISION}: start the newer version"
        )
    if have != SCHEMA_REVISION:
        raise DatabaseError(
            f"the tracker's database is at migration {have or 'none'}, this version needs"
            f" {SCHEMA_REVISION}: run `imagelane tracker migrate`"
        )
