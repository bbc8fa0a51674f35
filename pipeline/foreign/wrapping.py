"""A foreign graph with zoo's input and output: uint8 N×H×W×3 RGB → float32 N×D of length 1.

The nodes around it are those of zoo's own export (`pipeline.stages.export`). Before anything else is made of it, the
graph is compared with the file, so that a wrong conversion can't become a release.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.images import Input
from pipeline.errors import CheckFailed, ForeignError
from pipeline.foreign.batching import BATCH, free_batch
from pipeline.foreign.describing import AXES, image_input
from pipeline.foreign.original import Original, as_rows, open_session, run, select_output, unit
from pipeline.foreign.plainer import constant_shapes, fold_norms, lift_constants
from pipeline.foreign.reading import DOMAINS
from pipeline.foreign.settings import Foreign
from pipeline.networks.cost import Cost, model_cost
from pipeline.networks.ends import INPUT, OUTPUT

if TYPE_CHECKING:
    import onnx

OWN = "zoo_"  # of names around the graph
TRIED = 3  # images in one call that must give the same as one by one
SAME = 0.9999  # cosine of embeddings that are the same


@dataclass(frozen=True)
class Wrapped:
    """A foreign network as a release has it.

    Attributes:
        model: uint8 N×H×W×3 RGB → float32 N×D of length 1.
        cost: of the network alone, simplified, for one image.
        original: the file as it was.
    """

    model: onnx.ModelProto
    cost: Cost
    original: Original


def wrap(model: onnx.ModelProto, size: Input, foreign: Foreign, opset: int, name: str) -> Wrapped:
    """Give a foreign graph zoo's input and output.

    Args:
        model: see `pipeline.foreign.reading.read_model`.
        opset: to which an older graph is converted.
        name: of the file, for errors.

    Raises:
        ForeignError: it can't be converted, run, or given several images; or its output is no embedding.
    """
    import onnx

    original = Original(model, size, foreign, name)
    images = np.random.default_rng(0).integers(0, 256, (TRIED, size.height, size.width, 3), np.uint8)
    expected = original.embed(images)
    core = _converted(select_output(model, foreign.output), opset, name)
    for axis, pixels in zip(AXES[foreign.layout], (3, size.height, size.width), strict=True):
        image_input(core, name).type.tensor_type.shape.dim[axis].dim_value = pixels
    core = free_batch(core, original.images)
    core = _simplified(constant_shapes(core, original.given(images[:1]), name), name)
    _check_batches(core, original, images, expected, name)
    try:
        cost = model_cost(core)
    except (ValueError, KeyError, IndexError):
        raise ForeignError(
            f"{name} has no convolutions or linear layers of known shape, so there is nothing to compress or to count."
        ) from None
    wrapped = _framed(fold_norms(lift_constants(core)), size, foreign)
    _name_nodes(wrapped)
    onnx.checker.check_model(wrapped, full_check=True)
    return Wrapped(wrapped, cost, original)


def _opset(model: onnx.ModelProto) -> int:
    return int(next(one.version for one in model.opset_import if one.domain in DOMAINS))


def _converted(model: onnx.ModelProto, opset: int, name: str) -> onnx.ModelProto:
    """A copy with at least an opset.

    Raises:
        ForeignError: onnx can't convert an operator.
    """
    from onnx import version_converter

    old = _opset(model)
    if old >= opset:
        return model
    try:
        converted: onnx.ModelProto = version_converter.convert_version(model, opset)
    except Exception:  # noqa: BLE001 - errors of onnx's C++ code have no common class
        raise ForeignError(
            f"{name} has opset {old}, which onnx can't convert to {opset} for all of its operators. Export it "
            f"again with opset_version={opset}."
        ) from None
    return converted


def _simplified(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    from onnxsim import simplify

    try:
        simplified, same = simplify(model)
    except Exception:  # noqa: BLE001 - errors of onnxsim's C++ code have no common class
        raise ForeignError(
            f"{name} can't be simplified by onnxsim. Export it with a newer exporter, or opset 18."
        ) from None
    if not same:
        raise CheckFailed(f"onnxsim changed the results of {name}. Export it with a newer exporter.")
    result: onnx.ModelProto = simplified
    return result


def _check_batches(
    core: onnx.ModelProto, original: Original, images: np.ndarray, expected: np.ndarray, name: str
) -> None:
    """Check that several images in one call have the embeddings of one by one.

    Raises:
        ForeignError: they don't, or the graph allows only the number of images that it was exported for.
    """
    export = (
        f"Export it with a dynamic batch: torch.onnx.export(..., dynamic_axes={{{core.graph.input[0].name!r}: "
        "{0: 'batch'}})."
    )
    try:
        found = run(open_session(core, name), original.given(images), name)
        rows = unit(as_rows(found, len(images), name, core.graph.output[0].name))
    except ForeignError:
        many = f"takes exactly {original.images} per call" if original.images else "fails for several at a time"
        raise ForeignError(
            f"{name} {many}, and the rest of its graph does not allow other numbers of images. {export}"
        ) from None
    if not np.isfinite(expected).all():
        raise ForeignError(f"{name} gives values that are not numbers. Check --mean, --std, --range and --output.")
    if not float((rows * expected).sum(1).min()) >= SAME:
        raise ForeignError(
            f"{name} gives an image another embedding when others are in the same call. Export it in evaluation mode "
            f"(model.eval()). {export if original.images else ''}".rstrip()
        )
    if np.abs(expected - expected[0]).max() < 1e-6:
        raise ForeignError(f"{name} gives all images the same embedding. Check --mean, --std, --range and --output.")


def _framed(core: onnx.ModelProto, size: Input, foreign: Foreign) -> onnx.ModelProto:
    """The graph between normalisation and division by the length."""
    import onnx
    from onnx import TensorProto, helper

    taken = {name for node in core.graph.node for name in (*node.input, *node.output)}
    if any(name in (INPUT, OUTPUT) or name.startswith(OWN) for name in taken):
        core = onnx.compose.add_prefix(core, "net_")
    entry, exit_ = core.graph.input[0], core.graph.output[0]
    weights: list[onnx.TensorProto] = []
    inner, floats = _taking_floats(core)
    before = [*_before(entry.name, size, foreign, floats, weights)]
    after = [*_after(exit_, weights)]
    result = onnx.ModelProto()
    result.CopyFrom(core)
    del result.metadata_props[:], result.graph.input[:], result.graph.output[:], result.graph.node[:]
    result.graph.node.extend([*before, *inner, *after])
    result.graph.initializer.extend(weights)
    dims = exit_.type.tensor_type.shape.dim
    length = int(dims[1].dim_value) if len(dims) > 1 and dims[1].dim_value > 0 else "length"
    shape: list[str | int | None] = [BATCH, size.height, size.width, 3]
    result.graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape))
    result.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [BATCH, length]))
    result.graph.name = "foreign"
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(result)
    return inferred


def _taking_floats(core: onnx.ModelProto) -> tuple[list[onnx.NodeProto], bool]:
    """Nodes of the graph, and whether its input is float now: a cast of uint8 at its start moves in front of it."""
    from onnx import TensorProto

    nodes, entry = [*core.graph.node], core.graph.input[0]
    if entry.type.tensor_type.elem_type == TensorProto.FLOAT:
        return nodes, True
    readers = [node for node in nodes if entry.name in node.input]
    if not all(node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT for node in readers):
        return nodes, False
    same = {node.output[0] for node in readers}
    left = [node for node in nodes if node not in readers]
    for node in left:
        for place, name in enumerate(node.input):
            node.input[place] = entry.name if name in same else name
    return left, True


def _before(
    entry: str, size: Input, foreign: Foreign, floats: bool, weights: list[onnx.TensorProto]
) -> Iterator[onnx.NodeProto]:
    """Nodes from uint8 pixels to the value `entry`. First a cast: TensorRT takes uint8 only straight into one.

    Args:
        floats: whether the graph takes floats; otherwise uint8.
        weights: to which constants are added.
    """
    from onnx import TensorProto, helper, numpy_helper

    swapped, first = foreign.channels == "BGR", foreign.layout == "NCHW"
    mean, std = (255 * np.array(numbers)[:: -1 if swapped else 1] for numbers in size.normalisation)
    shape = (1, 3, 1, 1) if first else (1, 1, 1, 3)
    steps: list[tuple[str, np.ndarray | None, dict[str, Any]]] = [("Cast", None, {"to": TensorProto.FLOAT})]
    if swapped:
        steps.append(("Gather", np.array([2, 1, 0], np.int64), {"axis": 3}))
    if first:
        steps.append(("Transpose", None, {"perm": [0, 3, 1, 2]}))
    if mean.any():
        steps.append(("Sub", mean.reshape(shape).astype(np.float32), {}))
    if not np.allclose(std, 1):
        steps.append(("Div", std.reshape(shape).astype(np.float32), {}))
    if not floats:
        steps.append(("Cast", None, {"to": TensorProto.UINT8}))
    last = INPUT
    for number, (kind, constant, attributes) in enumerate(steps):
        given = [last]
        if constant is not None:
            given.append(f"{OWN}constant_{number}")
            weights.append(numpy_helper.from_array(constant, given[1]))
        last = entry if number == len(steps) - 1 else f"{OWN}pixels_{number}"
        yield helper.make_node(kind, given, [last], **attributes)


def _after(exit_: onnx.ValueInfoProto, weights: list[onnx.TensorProto]) -> Iterator[onnx.NodeProto]:
    """Nodes from the graph's output to embeddings of length 1.

    Args:
        weights: to which constants are added.
    """
    from onnx import helper, numpy_helper

    axes, least, rows = f"{OWN}axes", f"{OWN}least", exit_.name
    weights.append(numpy_helper.from_array(np.array([1], np.int64), axes))
    weights.append(numpy_helper.from_array(np.array(1e-12, np.float32), least))
    if len(exit_.type.tensor_type.shape.dim) != 2:
        rows = f"{OWN}rows"
        yield helper.make_node("Flatten", [exit_.name], [rows], axis=1)
    yield helper.make_node("ReduceL2", [rows, axes], [f"{OWN}lengths"], keepdims=1)
    yield helper.make_node("Clip", [f"{OWN}lengths", least], [f"{OWN}safe"])
    yield helper.make_node("Div", [rows, f"{OWN}safe"], [OUTPUT])


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give each node a name of its own, in place: the quantiser tells layers apart by it."""
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)
