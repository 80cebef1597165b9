"""The dispatcher's decisions: what may be called, what an answer means, what became of each image."""
