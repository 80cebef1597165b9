"""Decisions that several services share. Pure: no input, output, clock or client."""
