"""Processes forked from one that has imported everything: they start at once, and a kill hits work, not imports."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "torch", "torch._dynamo", "torch.export._trace", "torch.onnx._internal.exporter._core", "networkx",
        "torchvision.transforms.v2", "timm", "onnxsim", "onnxscript", "onnxruntime", "openvino", "torch_pruning",
        "onnxscript.rewriter", "cyclonedx.output", "cyclonedx.model.component", "aiohttp",
        "fsspec.implementations.http",
        "zoo.cli", "zoo.building.build",
        "zoo.documents.card", "zoo.documents.sbom", "zoo.registry.pull", "rich.progress",
        "pipeline.stages.distill", "pipeline.stages.calibrate", "pipeline.stages.measure", "targets.openvino",
    ]
)  # fmt: skip


def _start_by(method: str) -> None:
    multiprocessing.set_start_method(method, force=True)


def run_alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own. Processes that it starts there begin as they would in this one,
    and not in a second server that imports everything.
    """
    with ProcessPoolExecutor(1, context, _start_by, (multiprocessing.get_start_method(),)) as pool:
        return pool.submit(function, *arguments).result(100)
