"""Measurements: tables over seeds, speed."""
