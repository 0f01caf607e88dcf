"""What the command line can do, and how it is read."""
