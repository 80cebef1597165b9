"""What the command line makes of the API's answers: pure, without input or output."""
