"""What is trained for, and on what: losses, adaptation to the target, the paradigms of the paper, the data."""
