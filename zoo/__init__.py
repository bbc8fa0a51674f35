"""zoo: from a timm teacher to a compressed, compiled, measured image-retrieval model on an edge device.

import zoo

model = zoo.load("resnet50-veri")
embeddings = model.embed(["a.jpg", "b.jpg"])  # float32 N×D, rows of length 1
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.errors import ZooError as ZooError
    from zoo.loading import load as load

__all__ = ["ZooError", "__version__", "load"]
__version__ = "0.1.0"
logging.getLogger("zoo").addHandler(logging.NullHandler())  # log lines are for the application to ask for
OTHERS = ("pipeline", "calibration", "targets")  # packages that are installed with this one


def _check_packages() -> None:
    """Report a package that is shadowed by the user's files, which would fail later or run other code.

    Raises:
        ImportError: a file or folder of the user is imported in place of one of our packages.
    """
    root = Path(__file__).parent.parent
    for name in OTHERS:
        try:
            found = find_spec(name)
        except ValueError:  # it is imported, but not from a file
            found = None
        where = found and found.origin
        if (root / name).is_dir() and not (where and Path(where).parent.resolve() == (root / name).resolve()):
            raise ImportError(
                f"zoo needs its own package {name}, but Python finds {where or 'another one'} first. Rename "
                "that, or run from another folder."
            )


_check_packages()


def __getattr__(name: str) -> Any:
    """Import what is offered on first use: `import zoo` imports nothing else."""
    if name == "load":
        from zoo.loading import load

        return load
    if name == "ZooError":
        from zoo.errors import ZooError

        return ZooError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
