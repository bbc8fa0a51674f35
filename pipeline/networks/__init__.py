"""Embedding networks: building, counting their cost, saving and loading."""
