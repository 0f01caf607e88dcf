"""Adaptation to the unlabelled target: one file a method."""
