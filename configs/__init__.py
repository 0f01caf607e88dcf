"""Experiments: base.py holds every default once, each other file is a few lines on top of it."""
