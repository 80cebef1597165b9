"""The notifier's decisions: what an answer means, when the next attempt is due, and whose turn it is."""
