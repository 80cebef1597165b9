"""What the doctor makes of what it saw: pure."""
