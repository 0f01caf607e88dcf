"""Many pictures and films to files of answers."""
