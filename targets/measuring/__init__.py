"""Latency, energy and the conditions that they were measured under."""
