"""The database's history: each change of the tables is a file in `versions`, run once, in their order."""
