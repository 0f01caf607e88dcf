"""Shared by all packages: errors, files, processes, progress."""
