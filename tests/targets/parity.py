"""What a graph gives, to compare runtimes with, and small graphs of single operations."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from targets.contract import Job
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings

JOB = Job(32, 32, (1, 9))


def compiled_by(target, graph, folder, job=JOB):
    """A session of a graph."""
    folder.mkdir(exist_ok=True)
    target.compile(graph, folder, job)
    return target.load(folder)


def by_onnxruntime(graph, folder, images):
    """What ONNX Runtime gives for a graph."""
    return compiled_by(OnnxRuntime(TargetSettings("onnxruntime", threads=1)), graph, folder).embed(images)


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


def constant(name, values, kind=np.float32):
    """A constant of a graph."""
    return onnx.numpy_helper.from_array(np.asarray(values, kind), name)


def small(folder, nodes, constants):
    """A graph that does some operations to planes 0 … 255 (`x` → `y`), averages, and normalises; and its result."""
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["x"], perm=[0, 3, 1, 2]),
        *nodes,
        helper.make_node("ReduceMean", ["y", "axes"], ["mean"], keepdims=0),
        helper.make_node("ReduceL2", ["mean", "one"], ["length"], keepdims=1),
        helper.make_node("Div", ["mean", "length"], ["embeddings"]),
    ]
    for node in nodes:
        node.name = node.output[0]  # by which the quantiser finds it
    constants = [*constants, constant("axes", [2, 3], np.int64), constant("one", [1], np.int64)]
    start = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 32, 31, 3])
    end = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", "d"])
    made = helper.make_graph(nodes, "small", [start], [end], constants)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "small.onnx")
    return folder / "small.onnx"


def short(folder, nodes, constants):
    """A graph like `small` whose operations give rows N×C themselves."""
    graph = small(folder, nodes, constants)
    model = onnx.load(graph)
    (mean,) = [node for node in model.graph.node if node.name == "mean"]
    model.graph.node.remove(mean)
    for node in model.graph.node:
        node.input[:] = ["y" if name == "mean" else name for name in node.input]
    onnx.save(model, graph)
    return graph


def after_convolution(nodes, constants):
    """The operations behind a convolution, as in every network."""
    for node in nodes:
        node.input[:] = ["mixed" if name == "x" else name for name in node.input]
    first = helper.make_node("Conv", ["x", "mixing"], ["mixed"])
    return [first, *nodes], [*constants, constant("mixing", RANDOM.normal(size=(3, 3, 1, 1)))]


RANDOM = np.random.default_rng(0)
CASES = {
    "a grouped convolution with another border on each side": (
        [helper.make_node("Conv", ["x", "w1"], ["wide"], pads=[0, 1, 2, 3], strides=[2, 1]),
         helper.make_node("Conv", ["wide", "w2", "b"], ["y"], group=4, dilations=[2, 1])],
        [constant("w1", RANDOM.normal(size=(16, 3, 3, 3))), constant("w2", RANDOM.normal(size=(32, 4, 2, 3))),
         constant("b", RANDOM.normal(size=32))],
    ),
    "a depthwise convolution with two results for each channel": (
        [helper.make_node("Conv", ["x", "w"], ["y"], group=3, pads=[1, 1, 1, 1], strides=[2, 2])],
        [constant("w", RANDOM.normal(size=(6, 1, 3, 3)))],
    ),
    "largest values with a border below": (
        [helper.make_node("Sub", ["x", "level"], ["negative"]),
         helper.make_node("MaxPool", ["negative"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])],
        [constant("level", 300)],
    ),
    "averages over what is left at the edge": (
        [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], [],
    ),
    "windows that leave the image": (
        [helper.make_node("MaxPool", ["x"], ["z"], kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1),
         helper.make_node("MaxPool", ["z"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1)], [],
    ),
    "windows that begin behind the image": (
        [helper.make_node("Slice", ["x", "from", "to"], ["z"]),
         helper.make_node("MaxPool", ["z"], ["y"], kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4, ceil_mode=1)],
        [constant("from", [0, 0, 1], np.int64), constant("to", [2**31, 3, 32], np.int64)],
    ),
    "windows that begin in a border at the end": (
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 2, 1],
                          ceil_mode=1)], [],
    ),
    "averages of what is left at the edge, as with a border": (
        [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1,
                          count_include_pad=1)], [],
    ),
    "steps and axes that are not needed": (
        [helper.make_node("Slice", ["x", "from", "to", "along", "steps"], ["z"]),
         helper.make_node("Conv", ["z", "w", ""], ["y"])],
        [constant("from", [0, 1], np.int64), constant("to", [3, 32], np.int64), constant("along", [1, 2], np.int64),
         constant("steps", [1, 1], np.int64), constant("w", RANDOM.normal(size=(4, 3, 1, 1)))],
    ),
    "borders as other frameworks write them": (
        [helper.make_node("Conv", ["x", "w"], ["z"], strides=[2, 2], auto_pad="SAME_UPPER"),
         helper.make_node("MaxPool", ["z"], ["v"], kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
         helper.make_node("Conv", ["v", "w2"], ["y"], dilations=[2, 1], auto_pad="VALID")],
        [constant("w", RANDOM.normal(size=(8, 3, 3, 2))), constant("w2", RANDOM.normal(size=(4, 8, 3, 3)))],
    ),
    "parts whose indices are named as zoo would name them": (
        [helper.make_node("Slice", ["x", "plain_starts_0", "z_ends", "z_axes"], ["z"]),
         helper.make_node("Add", ["z", "z_starts"], ["y"])],
        [constant("plain_starts_0", [0, 1], np.int64), constant("z_ends", [2**31, 3], np.int64),
         constant("z_axes", [0, 1], np.int64), constant("z_starts", 5)],
    ),
    "a factor for each column, with as many channels as columns": (
        [helper.make_node("Conv", ["x", "w"], ["wide"]), helper.make_node("Mul", ["wide", "factor"], ["z"]),
         helper.make_node("Add", ["z", "rows"], ["y"])],
        [constant("w", RANDOM.normal(size=(31, 3, 1, 1))), constant("factor", RANDOM.uniform(1, 2, 31)),
         constant("rows", RANDOM.uniform(1, 200, (32, 1)))],
    ),
    "a mean of each row of pixels": (
        [helper.make_node("ReduceMean", ["x", "last"], ["y"], keepdims=1)], [constant("last", [3], np.int64)],
    ),
    "limits": (
        [helper.make_node("Clip", ["x", "low", "high"], ["y"])], [constant("low", 20), constant("high", 100)],
    ),
    "relu6": (
        [helper.make_node("Div", ["x", "scale"], ["some"]), helper.make_node("Clip", ["some", "low", "high"], ["y"])],
        [constant("scale", 20), constant("low", 0), constant("high", 6)],
    ),
    "a swish, and a shift for each channel": (
        [helper.make_node("Add", ["x", "shift"], ["z"]), helper.make_node("Sigmoid", ["z"], ["s"]),
         helper.make_node("Mul", ["z", "s"], ["y"])],
        [constant("shift", [[[[-100]], [[-120]], [[-90]]]])],
    ),
    "a part of the channels and of the image": (
        [helper.make_node("Slice", ["x", "from", "to", "along"], ["y"])],
        [constant("from", [1, -9, 2], np.int64), constant("to", [3, 2**31, 20], np.int64),
         constant("along", [1, 2, 3], np.int64)],
    ),
    "channels side by side, and a norm": (
        [helper.make_node("Concat", ["x", "x"], ["z"], axis=1),
         helper.make_node("BatchNormalization", ["z", "scale", "shift", "centre", "spread"], ["y"])],
        [constant("scale", RANDOM.normal(size=6)), constant("shift", RANDOM.normal(size=6)),
         constant("centre", RANDOM.normal(size=6)), constant("spread", RANDOM.uniform(1, 2, 6))],
    ),
}  # fmt: skip

MEANS = helper.make_node("ReduceMean", ["x", "axes"], ["rows"], keepdims=0)
SHORT = {
    "a linear layer with its weights turned, without a bias": (
        [MEANS, helper.make_node("Gemm", ["rows", "w"], ["y"])], [constant("w", RANDOM.normal(size=(3, 5)))],
    ),
    "a linear layer without a bias": (
        [MEANS, helper.make_node("Gemm", ["rows", "w", ""], ["y"], transB=1)],
        [constant("w", RANDOM.normal(size=(5, 3)))],
    ),
    "a linear layer with its weights turned": (
        [MEANS, helper.make_node("Gemm", ["rows", "w", "b"], ["y"])],
        [constant("w", RANDOM.normal(size=(3, 5))), constant("b", RANDOM.normal(size=5))],
    ),
    **{
        f"a linear layer with a bias of {words}": (
            [MEANS, helper.make_node("Gemm", ["rows", "w", "b"], ["y"])],
            [constant("w", RANDOM.normal(size=(3, 5))), constant("b", RANDOM.normal(size=shape))],
        )
        for words, shape in {
            "one row": (1, 5), "one number": (1,), "one number in a row": (1, 1), "no axis": (),
        }.items()
    },
    "means along axes that are counted from the end": (
        [helper.make_node("ReduceMean", ["x", "last"], ["y"], keepdims=0)], [constant("last", [-1, -2], np.int64)],
    ),
    "rows of all but the first axis, counted from the end": (
        [helper.make_node("GlobalAveragePool", ["x"], ["z"]), helper.make_node("Flatten", ["z"], ["y"], axis=-3)], [],
    ),
    "a norm of rows": (
        [MEANS, helper.make_node("BatchNormalization", ["rows", *"abcd"], ["y"])],
        [constant(name, RANDOM.uniform(1, 2, 3)) for name in "abcd"],
    ),
    "parts of rows, side by side": (
        [MEANS, helper.make_node("Slice", ["rows", "from", "to", "last"], ["z"]),
         helper.make_node("Concat", ["z", "rows"], ["y"], axis=-1)],
        [constant("from", [1], np.int64), constant("to", [3], np.int64), constant("last", [-1], np.int64)],
    ),
}  # fmt: skip

# What LiteRT's and ExecuTorch's converters both refuse.
REFUSED = {
    "leaves values out": (
        [helper.make_node("Slice", ["x", "one", "far", "two", "two"], ["y"])],
        [constant("two", [2], np.int64), constant("far", [31], np.int64)],
    ),
    "Gemm long scales or transposes": (
        [helper.make_node("ReduceMean", ["x", "axes"], ["short"], keepdims=0),
         helper.make_node("Gemm", ["short", "w"], ["long"], alpha=2.0),
         helper.make_node("Reshape", ["long", "s"], ["y"])],
        [constant("w", np.eye(3)), constant("s", [0, 3, 1, 1], np.int64)],
    ),
    "Gemm biased scales or transposes": (
        [helper.make_node("ReduceMean", ["x", "axes"], ["short"], keepdims=0),
         helper.make_node("Gemm", ["short", "w", "b"], ["biased"], beta=0.5),
         helper.make_node("Reshape", ["biased", "s"], ["y"])],
        [constant("w", np.eye(3)), constant("b", np.ones(3)), constant("s", [0, 3, 1, 1], np.int64)],
    ),
    "Conv y has no constant weights": (
        [helper.make_node("Concat", ["half", "half"], ["w"], axis=0), helper.make_node("Conv", ["x", "w"], ["y"])],
        [constant("half", np.ones((2, 3, 1, 1)))],
    ),
    "Conv y takes from another operation what has to be a constant": (
        [helper.make_node("Add", ["b", "b"], ["sum"]), helper.make_node("Conv", ["x", "w", "sum"], ["y"])],
        [constant("w", np.ones((2, 3, 1, 1))), constant("b", [1, 2])],
    ),
    "ReduceMean y reduces no axis": ([helper.make_node("ReduceMean", ["x"], ["y"], noop_with_empty_axes=1)], []),
    "Squeeze short does not say which axes it removes": (
        [helper.make_node("GlobalAveragePool", ["x"], ["long"]), helper.make_node("Squeeze", ["long"], ["short"]),
         helper.make_node("Reshape", ["short", "s"], ["y"])],
        [constant("s", [-1, 3, 1, 1], np.int64)],
    ),
    "MaxPool y has more than one result": (
        [helper.make_node("MaxPool", ["x"], ["y", "places"], kernel_shape=[2, 2])], [],
    ),
    "AveragePool y has dilations": (  # since opset 19
        [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2])], [],
    ),
    "MaxPool pooled is no pooling of images": (
        [helper.make_node("ReduceMean", ["x", "two"], ["line"], keepdims=0),
         helper.make_node("MaxPool", ["line"], ["pooled"], kernel_shape=[2], pads=[1, 0]),
         helper.make_node("Reshape", ["pooled", "s"], ["y"])],
        [constant("two", [2], np.int64), constant("s", [0, 3, 1, -1], np.int64)],
    ),
    "Conv mixed is no convolution of images": (
        [helper.make_node("ReduceMean", ["x", "two"], ["line"], keepdims=0),
         helper.make_node("Conv", ["line", "w"], ["mixed"]), helper.make_node("Reshape", ["mixed", "s"], ["y"])],
        [constant("two", [2], np.int64), constant("w", np.ones((4, 3, 1))), constant("s", [0, 4, 1, -1], np.int64)],
    ),
    "MatMul y multiplies by more than one matrix": (
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [constant("w", np.ones((3, 31, 5)))],
    ),
    "Gemm biased takes from another operation what has to be a constant": (
        [helper.make_node("ReduceMean", ["x", "axes"], ["short"], keepdims=0),
         helper.make_node("Gemm", ["short", "w", "short"], ["biased"]),
         helper.make_node("Reshape", ["biased", "s"], ["y"])],
        [constant("w", np.eye(3)), constant("s", [0, 3, 1, 1], np.int64)],
    ),
    "Clip y takes from another operation what has to be a constant": (
        [helper.make_node("Add", ["b", "b"], ["sum"]), helper.make_node("Clip", ["x", "sum"], ["y"])],
        [constant("b", 9)],
    ),
}  # fmt: skip
