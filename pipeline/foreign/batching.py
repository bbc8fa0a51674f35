"""Any number of images per call: also of a graph that was exported for one number.

Exporters write the number of images into the shapes of `Reshape`, and mostly nowhere else. There it is replaced, and
the result is compared with the graph as it was, image by image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.foreign.reading import new_value

if TYPE_CHECKING:
    import onnx

BATCH = "batch"


def free_batch(model: onnx.ModelProto, images: int | None) -> onnx.ModelProto:
    """The model with a dynamic first axis of its input, and shapes that follow from it. Changes the given one.

    Args:
        model: its first input takes the images.
        images: number per call that the graph was exported for; None: any.
    """
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")  # inferred again
    constants = _constants(model) if images is not None else {}
    for node in graph.node:
        shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is None or not shape.size or shape[0] != images:
            continue
        # 0 copies the axis of the input, unless `allowzero` is set; -1 is what remains
        rest = shape[1:]
        own = np.array([0 if (rest == -1).any() else -1, *rest], np.int64)
        node.input[1] = new_value(model, "free_shape")
        graph.initializer.append(numpy_helper.from_array(own, node.input[1]))
        for attribute in [one for one in node.attribute if one.name == "allowzero" and rest.all()]:
            node.attribute.remove(attribute)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    found = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    shapes = (one for one in found.items() if one[1].data_type == one[1].INT64 and len(one[1].dims) == 1)
    return {name: numpy_helper.to_array(tensor) for name, tensor in shapes}
