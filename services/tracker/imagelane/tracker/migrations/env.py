"""What Alembic runs for every command: the migrations, in the transaction of who asked for them."""

from __future__ import annotations

from typing import Final

from alembic import context

from imagelane.tracking.tables import metadata

RUN_BY_ALEMBIC: Final = "env_py"
"""The name that this file has then. Imported by its own name it does nothing."""


def run() -> None:
    """Runs what Alembic has been asked for."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


if __name__ == RUN_BY_ALEMBIC:
    run()
