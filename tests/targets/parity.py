"""What a graph gives, to compare runtimes with."""

import onnx
import onnxruntime

from targets.contract import Job
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings


def by_onnxruntime(graph, folder, images):
    """What ONNX Runtime gives for a graph."""
    folder.mkdir(exist_ok=True)
    target = OnnxRuntime(TargetSettings("onnxruntime", threads=1))
    target.compile(graph, folder, Job(32, 32, (1, 9)))
    return target.load(folder).embed(images)


def exactly(graph, images):
    """A graph's result with Q/DQ computed as written: ONNX Runtime's own int8 kernels round otherwise."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(graph, options).run(None, {"images": images})[0]


def cosine(some, others):
    """The smallest cosine of rows."""
    return float((some * others).sum(1).min())


def with_nodes(graph, path, change):
    """The graph with something changed."""
    model = onnx.load(graph)
    change(model.graph)
    onnx.save(model, path)
    return path
