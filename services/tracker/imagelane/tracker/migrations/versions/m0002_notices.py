"""What became of a job's notice."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Adds the columns; they fill with the next record of each notice, or a rebuild."""
    op.add_column("jobs", sa.Column("notice_about", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("notice_state", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("notice_attempts", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("notice_result", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("notice_at", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("notice_next_at", sa.BigInteger(), nullable=True))
