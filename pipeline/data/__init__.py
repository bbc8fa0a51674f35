"""Images of identities: finding them on disk, reading them, and drawing training batches from them."""

LIBRARIES = ("numpy", "pillow")  # what the pixels and the draws depend on
