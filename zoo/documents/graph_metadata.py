"""Facts about a release inside its ONNX graphs (`metadata_props`) and OpenVINO models (`rt_info`).

Whoever has only the file still learns what it takes and gives, whose it is, and under which license. The facts are
written when a release is recorded, not when its graph is exported or quantised: name, version and license are no part
of what a stage computes, so a change of them repeats no training and no measurement.

Nothing that computes changes. In ONNX the facts are appended: concatenated protobuf messages are one message, so the
file is the measured graph, byte for byte, and then its metadata; `zoo.source_sha256` is the digest of that first part.
In OpenVINO's IR the weights are another file, and `rt_info` has no effect on execution.

A file can't hold the digest of the manifest, since the manifest holds the digest of the file. It holds three digests
that the manifest has, too: of the recipe (`recipe_digest`), of the network's weights (artifact
network/network.safetensors) or the foreign file (`foreign`), and its release's name and version.

Source: onnx.proto, `ModelProto.metadata_props`; protobuf, "Encoding", on merging; OpenVINO, "Model representation".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from pipeline.data.images import Input
from pipeline.files import write_bytes
from targets.files import sha256
from zoo.documents.protobuf import metadata

PREFIX = "zoo"
ONNX, IR = ".onnx", ".xml"
Facts = dict[str, str]


def facts(
    label: str, licenses: tuple[str, str], size: Input, embedding: int, recipe_sha256: str, network_sha256: str
) -> Facts:
    """What is written into each file, by key without prefix.

    Args:
        label: name@version.
        licenses: of weights and data.
        size: input of the graph, with the mean and deviation that the graph applies.
        embedding: length of the output.
    """
    mean, deviation = size.normalisation
    return {
        "release": label,
        "license": licenses[0],
        "data_license": licenses[1],
        "height": str(size.height),
        "width": str(size.width),
        "layout": "NHWC",
        "dtype": "uint8",
        "colors": "RGB",
        "mean": ",".join(map(str, mean)),
        "std": ",".join(map(str, deviation)),
        "normalization": "inside the graph: (pixel / 255 - mean) / std; give it raw pixels",
        "embedding": str(embedding),
        "embedding_norm": "1",
        "recipe_sha256": recipe_sha256,
        "network_sha256": network_sha256,
    }


def _onnx_with(content: bytes, known: Mapping[str, str]) -> bytes:
    import onnx

    tail = onnx.ModelProto()
    for key, value in known.items():
        tail.metadata_props.add(key=f"{PREFIX}.{key}", value=value)
    added: bytes = tail.SerializeToString()
    return content + added


def _ir_with(content: bytes, known: Mapping[str, str]) -> bytes:
    root = ElementTree.fromstring(content)
    info = root.find("rt_info")
    info = ElementTree.SubElement(root, "rt_info") if info is None else info
    ours = info.find(PREFIX)
    ours = ElementTree.SubElement(info, PREFIX) if ours is None else ours
    for key, value in known.items():
        ElementTree.SubElement(ours, key, value=value)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _is_ir(content: bytes) -> bool:
    try:
        return ElementTree.fromstring(content).tag == "net"
    except ElementTree.ParseError:
        return False


def write_facts(path: Path, known: Mapping[str, str]) -> None:
    """Write facts into a file that can hold them; others stay as they are.

    The file is replaced, not changed: a result in the store that it was linked to stays as it was.
    """
    if path.suffix not in (ONNX, IR):
        return
    content = path.read_bytes()
    known = {**known, "source_sha256": sha256(path)}
    if path.suffix == ONNX:
        write_bytes(path, _onnx_with(content, known))
    elif _is_ir(content):
        write_bytes(path, _ir_with(content, known))


def read_facts(path: Path) -> Facts:
    """Facts in a file, by key without prefix; none if it has none, or is damaged. No library of a runtime is needed.

    Raises:
        OSError: the file can't be read.
    """
    if path.suffix == IR:
        content = path.read_bytes()
        found = ElementTree.fromstring(content).findall(f"rt_info/{PREFIX}/*") if _is_ir(content) else []
        return {one.tag: one.get("value", "") for one in found}
    if path.suffix != ONNX:
        return {}
    ours = f"{PREFIX}."
    try:
        return {key.removeprefix(ours): value for key, value in metadata(path).items() if key.startswith(ours)}
    except ValueError:
        return {}
