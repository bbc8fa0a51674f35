"""Latency, energy, and the conditions of their measurement."""
