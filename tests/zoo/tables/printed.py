"""A comparison as a terminal shows it."""

import io

from rich.console import Console

from zoo.tables.formats import terminal

OPENVINO, ONNX = {"target": "openvino-cpu"}, {"target": "onnxruntime-cpu"}


def shown(comparison, **options):
    console = Console(width=300, file=io.StringIO(), **options)
    console.print(terminal(comparison))
    return console.file.getvalue()  # type: ignore[attr-defined]
