"""A release: its manifest, its measurements, which releases this home has, and how a version is chosen."""
