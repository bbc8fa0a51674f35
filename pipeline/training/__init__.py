"""Training: the loop, its schedule and checkpoints, and what labels teach."""
