"""What the tracker writes and others read: its tables, and the questions that they answer."""
