"""What travels between the services: events, topics, keys, and how they become bytes."""
