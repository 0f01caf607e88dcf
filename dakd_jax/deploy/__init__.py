"""A finished network at work: loading it, predicting on pictures, in Python and from the command line."""
