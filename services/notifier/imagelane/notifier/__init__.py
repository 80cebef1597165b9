"""Answers to requesters: posts the end of each job to its `notify_url`, signed, until somebody takes it."""
