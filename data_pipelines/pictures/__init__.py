"""Pictures and films: orientation, pixel formats, more than 8 bits, what somebody hands in."""
