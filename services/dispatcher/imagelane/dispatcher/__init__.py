"""Makes the calls of the external batch API, one at a time for each customer."""
