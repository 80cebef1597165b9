"""The decisions of this service, without input or output."""
