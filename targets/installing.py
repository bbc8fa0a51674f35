"""The command that installs an extra of this project."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

EXTRAS = (  # of this project
    "build", "openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "ncnn", "litert", "executorch",
    "ssh", "s3", "hub", "oci", "sign", "plot", "site", "export", "serve", "index",
)  # fmt: skip
CHECKOUT = Path(__file__).parents[1]


def install_command(extra: str, distribution: str | None = None) -> str:
    """Command for a checkout or for the installed package; otherwise for the runtime alone."""
    if distribution and extra not in EXTRAS:
        return f"pip install {distribution}"
    if (CHECKOUT / "pyproject.toml").exists():
        return f"pip install -e '{CHECKOUT}[{extra}]'"
    alone = distribution and find_spec("zoo") is None
    return f"pip install {distribution}" if alone else f"pip install 'edge-model-zoo[{extra}]'"
