"""Intake's decisions: what a record means, what a list holds, how much may be requested."""
