"""What making a view needs: onnx and ONNX Runtime, which a device may lack."""

from __future__ import annotations

from importlib.util import find_spec

from targets.installing import install_command
from zoo.errors import ExportError

EXTRA = "export"
LIBRARIES = ("onnx", "onnxruntime")


def check_libraries() -> None:
    """Check that both are here.

    Raises:
        ExportError: one is not.
    """
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        raise ExportError(f"a view needs {' and '.join(missing)}: not installed. Run: {install_command(EXTRA)}")
