"""The gateway's decisions: pure, without input or output."""
