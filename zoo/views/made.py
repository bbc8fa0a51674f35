"""What the files beside a view are written from."""

from __future__ import annotations

from dataclasses import dataclass

from targets.settings import Precision
from zoo.views.source import Form
from zoo.views.view import View


@dataclass(frozen=True)
class Made:
    """A view of a release.

    Attributes:
        release: name@version.
        name: of the release, for a consumer that names its models.
        height, width: of the input, in pixels.
        dimension: D, components of an embedding.
        max_batch: largest batch that the consumer is told of.
        form: of the graph's file.
    """

    release: str
    name: str
    view: View
    height: int
    width: int
    dimension: int
    precision: Precision
    max_batch: int
    form: Form = "onnx"

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of the input; None is any batch."""
        return self.view.shape(self.height, self.width)

    @property
    def intro(self) -> str:
        """First lines of a README."""
        return (
            f"# {self.release} in {self.precision}\n\n"
            f"Input `{self.view.input}`: {self.view.words}, {self.width} pixels wide and {self.height} high.\n"
            f"Output `{self.view.output}`: float32 N×{self.dimension}, rows of length 1; their dot product is the "
            "cosine similarity.\n\n"
            "`view.json` says which release this was made from, and has the digest of every file.\n"
        )


OPTIMAL = 8  # batch that an engine is tuned for
FIND_TRTEXEC = (  # NVIDIA's packages put it where no PATH leads
    'PATH="$PATH:/usr/src/tensorrt/bin"',
    "command -v trtexec > /dev/null || { echo \"no trtexec here. Install NVIDIA's libnvinfer-bin, or add its folder to "
    'PATH." >&2; exit 1; }',
)


def engine_script(made: Made, graph: str, engine: str) -> str:
    """A shell script that builds a TensorRT engine of a graph on the device, with NVIDIA's `trtexec`.

    The profile is batch 1, 8 and the largest. A graph in fp16 or int8 has its precision in itself, so the network is
    strongly typed: an option until TensorRT 10, the only way since TensorRT 11.

    Source: NVIDIA TensorRT documentation, "Command-Line Programs", "Strongly Typed Networks".

    Args:
        graph, engine: paths, relative to the script.
    """
    inner = "x".join(str(one) for one in made.shape[1:])
    least, most = made.view.batch or 1, made.view.batch or made.max_batch
    profile = {"min": least, "opt": max(least, min(OPTIMAL, most)), "max": most}
    shapes = [f"--{name}Shapes={made.view.input}:{count}x{inner}" for name, count in profile.items()]
    shapes = [] if made.view.batch else shapes
    typed = "$(trtexec --help 2>&1 | grep -o -e --stronglyTyped | head -n 1)" if made.precision != "fp32" else ""
    command = [f"trtexec --onnx={graph}", f"--saveEngine={engine}", *shapes, *([typed] if typed else [])]
    lines = [
        "#!/bin/sh",
        "# Builds the engine on the device that runs it.",
        "set -eu",
        'cd "$(dirname "$0")"',
        *FIND_TRTEXEC,
    ]
    if "/" in engine:
        lines.append(f"mkdir -p {engine.rpartition('/')[0]}")
    return "\n".join([*lines, " \\\n    ".join(command)]) + "\n"
