"""Fetches one image per request into the object store."""
