"""What is trained for: losses, adaptation to the target, and the paradigms of the paper."""
