"""A release: its manifest, what was measured of it, which ones this home has, which version is meant."""
