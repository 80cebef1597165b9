"""Decodes, fits and encodes each original, in expendable child processes."""
