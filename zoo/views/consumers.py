"""Consumers: which view each takes, which parts of it a user may choose, and what lies beside the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.data.images import Input
from targets.settings import Activations, WeightBits
from zoo.errors import ExportError
from zoo.views import deepstream, ovms, trackers, triton
from zoo.views.made import Made
from zoo.views.source import Form
from zoo.views.view import MOST, View

ANY: tuple[Activations, ...] = ("asymmetric", "symmetric")  # ONNX Runtime's kernels on x86 prefer the first
CHOSEN = ("layout", "dtype", "range", "colors", "batch", "mean", "std")  # parts of a view that may be chosen


@dataclass(frozen=True)
class Consumer:
    """A program that runs a view.

    Attributes:
        name: word on the command line.
        title: its own name.
        view: what it takes if nothing else is chosen.
        choice: parts of the view that a user may choose.
        kinds: activations of int8 that it can run, the preferred ones first.
        bits: of int8 weights: 7 if it may run them in kernels for x86 that overflow with 8 without VNNI.
        max_batch: largest batch that it is told of; None: it is told of none.
        graph: path of the graph in the written folder.
        files: content of the other files, by path.
        forms: of the graph's file.
    """

    name: str
    title: str
    view: View
    choice: tuple[str, ...]
    kinds: tuple[Activations, ...]
    max_batch: int | None
    graph: Callable[[Made], str]
    files: Callable[[Made], dict[str, str]]
    forms: tuple[Form, ...] = ("onnx",)
    bits: WeightBits = 7

    def settle(self, options: Mapping[str, Any], own: Input) -> View:
        """The view with the options of a user.

        Args:
            options: parts of the view by name; None where none was chosen.
            own: the release's input, whose mean and deviation apply where the consumer normalises and none are chosen.

        Raises:
            ExportError: the consumer can't take it, or the parts do not fit.
        """
        chosen = {key: value for key, value in options.items() if value is not None}
        for key in chosen:
            if key not in self.choice:
                raise ExportError(
                    f"{self.title} feeds {self.view.words}: --{key} can't be chosen for it. Leave it out, or use "
                    "--for onnx."
                )
        if chosen.get("range", self.view.range) != "normalised":
            for key in ("mean", "std"):
                if key in chosen:
                    raise ExportError(f"--{key} is what the consumer applies: it needs --range normalised.")
        elif "range" in self.choice:
            mean, std = own.normalisation
            chosen = {"mean": mean, "std": std, **chosen}
        if chosen.get("range", "255") != "255":
            chosen = {"dtype": "float32", **chosen}
        return replace(self.view, **chosen)

    def warning(self, bits: WeightBits | None) -> str:
        """What to mind about a graph with such int8 weights; empty if it does the same everywhere.

        Args:
            bits: of its weights; None if it is not int8.
        """
        if bits is None or bits <= self.bits:
            return ""
        return (
            "Its int8 weights have 8 bits: on x86 processors without VNNI their sums overflow, and embeddings fit "
            "those of no other machine. Run it on others, or use --precision fp32."
        )


def _note(made: Made) -> dict[str, str]:
    return {"README.md": f"{made.intro}\n- `{_alone(made)}`: the graph.\n"}


def _alone(made: Made) -> str:
    return f"{made.name}.onnx"


def _triton(backend: triton.Backend) -> Consumer:
    kinds: dict[triton.Backend, tuple[Activations, ...]] = {
        "onnxruntime": ANY, "openvino": ("symmetric",), "tensorrt": ("symmetric",),
    }  # fmt: skip
    return Consumer(
        "triton", f"Triton with the backend {backend}", View(), CHOSEN, kinds[backend],
        None if backend == "openvino" else triton.MAX_BATCH,
        lambda made: triton.graph(made, backend), lambda made: triton.files(made, backend),
        ("onnx", "openvino") if backend == "openvino" else ("onnx",),
        8 if backend == "tensorrt" else 7,
    )  # fmt: skip


CONSUMERS: Mapping[str, Consumer] = {
    one.name: one
    for one in (
        Consumer(
            "deepstream", "DeepStream", deepstream.VIEW, (), ("symmetric",), deepstream.MAX_BATCH,
            lambda _: deepstream.GRAPH, deepstream.files, bits=8,
        ),
        _triton("onnxruntime"),
        Consumer(
            "ovms", "OpenVINO Model Server", View(), CHOSEN, ("symmetric",), None, ovms.graph, ovms.files,
            ("onnx", "openvino"),
        ),
        Consumer("boxmot", "BoxMOT", trackers.BOXMOT, ("batch",), ANY, None, trackers.graph, trackers.boxmot),
        Consumer(
            "ultralytics", "Ultralytics", trackers.ULTRALYTICS, ("batch",), ANY, None, trackers.graph,
            trackers.ultralytics,
        ),
        Consumer("onnx", "an ONNX runtime", View(), CHOSEN, ANY, None, _alone, _note),
    )
}  # fmt: skip
"""By name. Triton's is that of its first backend; `find_consumer` has the others."""


def find_consumer(name: str, backend: triton.Backend | None, max_batch: int | None) -> Consumer:
    """A consumer as it is asked for.

    Raises:
        ExportError: the options are not for it.
    """
    found = CONSUMERS[name]
    if backend and name != "triton":
        raise ExportError(f"--backend is Triton's: leave it out, or use --for triton --backend {backend}.")
    if backend:
        found = _triton(backend)
    if max_batch is not None and found.max_batch is None:
        raise ExportError(f"{found.title} is told of no largest batch: leave out --max-batch.")
    if max_batch is not None and not 1 <= max_batch <= MOST:
        raise ExportError(f"--max-batch must be 1 … {MOST}, not {max_batch}.")
    return found if max_batch is None else replace(found, max_batch=max_batch)
