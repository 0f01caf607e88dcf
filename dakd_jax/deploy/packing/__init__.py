"""A network as a folder ready for a model hub: weights, what they are, a card for people, a golden pair."""
