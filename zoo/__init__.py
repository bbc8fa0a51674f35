"""zoo: from a timm teacher to a compressed, compiled, measured image-retrieval model on an edge device.

import zoo

model = zoo.load("resnet50-veri")
embeddings = model.embed(["a.jpg", "b.jpg"])  # float32 N×D, rows of length 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.use.embedder import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load` comes when it is asked for: `import zoo` imports nothing else."""
    if name == "load":
        from zoo.use.embedder import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """For who looks around."""
    return [*globals(), "load"]
