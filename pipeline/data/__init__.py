"""Images of identities: finding them on disk, reading them, and drawing training batches."""

LIBRARIES = ("numpy", "pillow")  # libraries that pixels and draws depend on
