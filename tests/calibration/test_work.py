"""Work of layers per value, by hand."""

from math import inf

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.work import work_per_value


def test_work_is_counted_per_value_of_input_and_output(tmp_path):
    weights = {"wide": (16, 3, 3, 3), "deep": (16, 1, 3, 3), "lin": (16, 5), "turned": (7, 5)}
    nodes = [
        helper.make_node("Conv", ["x", "wide"], ["a"], "wide", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "deep"], ["b"], "deep", pads=[1, 1, 1, 1], strides=[2, 2], group=16),
        helper.make_node("GlobalAveragePool", ["b"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "lin"], ["c"], "lin"),
        helper.make_node("Gemm", ["c", "turned"], ["d"], "turned", transB=1),
        helper.make_node("Transpose", ["d"], ["e"]),
        helper.make_node("MatMul", ["d", "e"], ["f"], "both"),
        helper.make_node("Unknown", ["f"], ["g"], domain="com.example"),
        helper.make_node("MatMul", ["g", "lin"], ["h"], "shapeless"),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 8, 8))
    made = helper.make_tensor_value_info("h", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()]
    graph = helper.make_graph(nodes, "net", [given], [made], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "net.onnx")
    assert work_per_value(tmp_path / "net.onnx") == {
        "wide": pytest.approx(16 * 64 * 27 / (3 * 64 + 16 * 64)),
        "deep": pytest.approx(16 * 16 * 9 / (16 * 64 + 16 * 16)),
        "lin": pytest.approx(16 * 5 / (16 + 5)),
        "turned": pytest.approx(5 * 7 / (5 + 7)),
        "both": inf,
        "shapeless": inf,
    }
