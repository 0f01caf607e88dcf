"""Painting: materials, colours, shapes."""
