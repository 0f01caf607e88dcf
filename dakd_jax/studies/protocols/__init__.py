"""The protocol matrix: every way of scoring a network, in one pass over the validation pictures."""
