"""Random augmentation of pictures, and the random order of pictures."""
