"""Readers, transforms and streams of the driving datasets; knows nothing of the networks."""
