"""Turns lists of URLs into one request per image."""
