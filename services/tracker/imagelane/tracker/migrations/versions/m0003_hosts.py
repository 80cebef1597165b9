"""How the downloader spares servers."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    """Adds the table; what matters of it is never older than some minutes."""
    op.create_table(
        "hosts",
        sa.Column("host", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("worker", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("images_at_a_time", sa.Integer(), nullable=True),
        sa.Column("resumes_at", sa.BigInteger(), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("requests_per_second", sa.Float(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("holds_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host", "worker"),
        sqlite_with_rowid=False,
    )
