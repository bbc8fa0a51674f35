"""Training: the loop, its schedule and checkpoints, and the losses on labels."""
