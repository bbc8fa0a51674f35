"""zoo: from a timm teacher to a compressed, compiled, measured image-retrieval model on an edge device."""

__version__ = "0.1.0"
