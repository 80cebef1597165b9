"""The gateway's HTTP API, as the command line uses it."""
