"""Decodes and resizes a data set once: python -m data_pipelines.prepare."""
