"""Losses as pure functions of arrays: each returns one scalar, unweighted."""
