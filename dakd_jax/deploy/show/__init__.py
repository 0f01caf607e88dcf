"""A page on this machine alone: somebody drops a picture and sees what a network, and another one, say of it."""
