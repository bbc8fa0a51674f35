"""What a build runs: one module a stage, each its settings and its function."""
