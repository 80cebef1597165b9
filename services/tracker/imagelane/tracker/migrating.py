"""Brings the database to the tables of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, func, select

from imagelane.tracking.database import require_revision, revision_of
from imagelane.tracking.tables import SCHEMA_REVISION, tracker

LOCK: Final = int.from_bytes(b"imglane")
"""Everybody who migrates takes this one; no other lock of the database is known by it."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Runs the migrations that the database has not had; all of them or, on an error, none.

    Returns where it stood before (None: it was empty) and where it stands now. Raises `DatabaseError` where
    a newer version has been before.
    """
    config = Config(attributes={})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # two at once: the second finds all done
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        before = revision_of(connection)
        if before is not None and before > SCHEMA_REVISION:
            require_revision(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        require_revision(connection)
        if before is None:
            first = {"id": 1, "generation": 1, "change": 0, "written_at": 0}
            connection.execute(tracker.insert(), first)
    return before, SCHEMA_REVISION
