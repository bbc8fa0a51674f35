"""Bundles for devices elsewhere, the program that runs them, and their results."""
