"""What the training loop needs of the machine: prefetch, interruption, determinism, compilation cache."""
