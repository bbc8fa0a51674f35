"""Reading of an ONNX file that somebody else wrote.

External data is checked before it is read: a location in the file could name any file of this machine. Sources: ONNX,
"External data" (docs/ExternalData.md), "Open Neural Network Exchange intermediate representation" (docs/IR.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_ISREG
from typing import TYPE_CHECKING

from pipeline.errors import ForeignError
from targets.errors import first_line
from targets.plain_graph import names_in, new_name

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**31 - 1  # of one protobuf message, which ONNX's tools need the whole graph to fit in
DOMAINS = ("", "ai.onnx")
SHOWN = 5  # names that an error lists


def listed(names: list[str]) -> str:
    """Some names of a list, with the number of the others."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    yield from _inside(graph.node)


def _inside(nodes: object) -> Iterator[onnx.GraphProto]:
    for node in nodes:  # type: ignore[attr-defined]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _graphs(inner)


def all_graphs(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    """The graph of a model and all graphs inside its nodes and functions."""
    return [*_graphs(model.graph), *(graph for one in model.functions for graph in _inside(one.node))]


def all_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """All nodes of a model, those of inner graphs and functions too."""
    own = [node for graph in all_graphs(model) for node in graph.node]
    return own + [node for one in model.functions for node in one.node]


def new_value(model: onnx.ModelProto, start: str) -> str:
    """A name that no value of a model has: `start` with a number."""
    return new_name(start, set().union(*map(names_in, all_graphs(model))))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in all_graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in all_nodes(model):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _external(model: onnx.ModelProto, path: Path) -> list[Path]:
    """Files with external data, each inside the folder of the ONNX file.

    Raises:
        ForeignError: a location leads elsewhere, is a link, or names no file.
    """
    from onnx.external_data_helper import uses_external_data

    folder = path.parent.resolve()
    found: dict[Path, None] = {}
    for tensor in _tensors(model):
        if not uses_external_data(tensor):
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        kinds = PurePosixPath(location), PureWindowsPath(location)
        leaves = any(kind.is_absolute() or ".." in kind.parts or kind.drive for kind in kinds) or "\0" in location
        if not location or leaves:
            raise ForeignError(
                f"{path} wants to read {location[:80]!r}, which is not in its folder. Nothing of it was read. Save the "
                "model again with its external data beside it, or in one file."
            )
        place = folder / location
        if place.resolve() != place:  # onnx refuses links, too
            raise ForeignError(
                f"{path} wants to read {location[:80]!r}, which is a link. Nothing of it was read. Put a copy of the "
                "file that it leads to in its place."
            )
        if not place.is_file():
            raise ForeignError(f"{path} needs {location}, which is not beside it. Copy that file into {path.parent}.")
        found[place] = None
    return [*found]


def _proto(path: Path) -> onnx.ModelProto:
    import onnx

    try:
        found = path.stat()
        if not S_ISREG(found.st_mode):  # a device or a pipe would be read without end
            raise ForeignError(f"{path} is not a file. Give the ONNX file of a network.")
        if found.st_size > MAX_BYTES:
            raise _too_large(path, found.st_size)
        model: onnx.ModelProto = onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as error:
        raise ForeignError(
            f"can't read the network {path}: {error.strerror}. Give an ONNX file, as torch.onnx.export writes it."
        ) from None
    except ForeignError:
        raise
    except Exception:  # noqa: BLE001 - errors of protobuf, which has no types
        raise ForeignError(f"{path} is not an ONNX file. Export the network to ONNX, and give that file.") from None
    if not model.graph.node:
        raise ForeignError(f"{path} is not an ONNX file, or holds no operations. Give an exported network.")
    return model


def _too_large(path: Path, size: int) -> ForeignError:
    return ForeignError(
        f"{path} has {size / 2**30:.1f} GiB of weights. The largest network that ONNX's tools convert is just below "
        "2 GiB; give a smaller one."
    )


def file_parts(path: Path) -> dict[str, Path]:
    """The files of a network, by the name of the step's parameter: `onnx`, and `external_0` … with external data.

    Raises:
        ForeignError: see `read_model`.
    """
    external = _external(_proto(path), path)
    return {"onnx": path, **{f"external_{number}": file for number, file in enumerate(external)}}


def read_model(path: Path) -> onnx.ModelProto:
    """A file with all its weights in memory: standard operators, in float, without functions and comments.

    Raises:
        ForeignError: it is missing, damaged or too large; it has operators that ONNX does not define; it is quantised
            or in half precision already; or its external data is outside its folder.
    """
    from onnx.external_data_helper import load_external_data_for_model
    from onnx.inliner import inline_local_functions

    model = _proto(path)
    external = _external(model, path)
    total = path.stat().st_size + sum(file.stat().st_size for file in external)
    if total > MAX_BYTES:
        raise _too_large(path, total)
    if external:
        try:
            load_external_data_for_model(model, str(path.parent.resolve()))
        except Exception as error:  # noqa: BLE001 - onnx checks again, offsets too; its errors have no common class
            raise ForeignError(
                f"the external data of {path} can't be read: {first_line(error)[:200].rstrip('.')}. Get its files "
                "again, or save the model in one file."
            ) from None
    _check_operators(model, path)
    if model.functions:
        model = inline_local_functions(model)
    _check_precision(model, path)
    _without_comments(model)
    return model


def _check_operators(model: onnx.ModelProto, path: Path) -> None:
    """Refuse operators that ONNX does not define, since no other runtime has them.

    Raises:
        ForeignError: there are some, or the opset is unknown.
    """
    import onnx

    own = {(one.domain, one.name) for one in model.functions}
    opset = max((one.version for one in model.opset_import if one.domain in DOMAINS), default=0)
    if not 1 <= opset <= onnx.defs.onnx_opset_version():
        raise ForeignError(
            f"{path} has opset {opset}, and the installed onnx knows 1 … {onnx.defs.onnx_opset_version()}. Export it "
            "with opset_version=18."
        )
    unknown = dict.fromkeys(
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for node in all_nodes(model)
        if (node.domain, node.op_type) not in own
        and not (node.domain in DOMAINS and onnx.defs.has(node.op_type, max_inclusive_version=opset, domain=""))
    )
    if unknown:
        raise ForeignError(
            f"{path} has operators that ONNX's opset {opset} does not define: {listed([*unknown])}. Runtimes other "
            "than the one that it was made for can't run them. Export the network with standard operators."
        )


def _check_precision(model: onnx.ModelProto, path: Path) -> None:
    """Refuse a graph that is not in float32: zoo makes the smaller precisions, and compares them with it.

    Raises:
        ForeignError: it is quantised, or in half precision.
    """
    from onnx import TensorProto

    kinds = {node.op_type for node in all_nodes(model)}
    if quantised := sorted(
        kind for kind in kinds if "Quantize" in kind or "Integer" in kind or kind.startswith("QLin")
    ):
        raise ForeignError(
            f"{path} is quantised already ({listed(quantised)}). Give the network in float32: zoo makes int8 itself, "
            "and says what it costs."
        )
    half = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
    if short := {name for tensor in _tensors(model) for kind, name in half.items() if tensor.data_type == kind}:
        raise ForeignError(
            f"{path} has weights in {' and '.join(sorted(short))}. Give the network in float32: zoo makes fp16 itself, "
            "and says what it costs."
        )


def _without_comments(model: onnx.ModelProto) -> None:
    """Remove what exporters note in each part of a graph, such as paths of their machine."""
    model.doc_string = ""
    for graph in all_graphs(model):
        graph.doc_string = ""
        del graph.metadata_props[:]
        for value in (*graph.input, *graph.output, *graph.value_info):
            value.doc_string = ""
            del value.metadata_props[:]
        for tensor in graph.initializer:
            tensor.doc_string = ""
            del tensor.metadata_props[:]
    for node in all_nodes(model):
        node.doc_string = ""
        del node.metadata_props[:]
