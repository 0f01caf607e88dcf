"""What watches a training: values that are not finite, discriminators, memory, energy, the log."""
