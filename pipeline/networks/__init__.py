"""Embedding networks: built, weighed, saved and loaded."""
