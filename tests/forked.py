"""Processes forked from one that has imported everything: they start at once, and a kill hits work, not imports."""

import multiprocessing

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "torch", "torch._dynamo", "torch.export._trace", "torch.onnx._internal.exporter._core", "networkx",
        "torchvision.transforms.v2", "timm", "onnxsim", "onnxscript", "onnxruntime", "openvino", "torch_pruning",
        "onnxscript.rewriter", "cyclonedx.output", "cyclonedx.model.component", "aiohttp",
        "fsspec.implementations.http",
        "zoo.cli", "zoo.building.run", "zoo.documents.card", "zoo.documents.sbom", "zoo.registry.pull", "rich.progress",
        "pipeline.stages.distill", "pipeline.stages.calibrate", "pipeline.stages.measure", "targets.openvino",
    ]
)  # fmt: skip
