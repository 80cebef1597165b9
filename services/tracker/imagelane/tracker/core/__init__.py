"""What events mean for the database: pure decisions."""
