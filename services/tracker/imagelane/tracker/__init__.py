"""The tracker: every topic in, one database out, from which status and audit trails are read."""
