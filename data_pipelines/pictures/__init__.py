"""Picture files: orientation, pixel formats, more than 8 bits, what somebody hands in."""
