"""The command line: local broker, topics, supervisor, demo."""
