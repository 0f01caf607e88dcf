"""The doctor's findings as a page, on the console and as JSON."""
