"""One file per migration. Alembic finds them by their `revision`."""
