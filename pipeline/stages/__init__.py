"""The stages of a build, one module each with its settings and its function."""
