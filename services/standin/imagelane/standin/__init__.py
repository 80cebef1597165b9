"""A stand-in of the external batch API with a journal, and the judge of that journal."""
