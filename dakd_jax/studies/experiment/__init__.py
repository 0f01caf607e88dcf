"""The report of an experiment: scores, curves, pictures, checkpoints, seeds."""
