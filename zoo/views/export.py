"""Writes a release for a consumer into a folder: the whole of it, or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.networks.serialization import WEIGHTS
from targets.files import sha256
from targets.settings import Precision
from zoo import __version__
from zoo.documents.graph_metadata import facts
from zoo.errors import ExportError
from zoo.home import Home
from zoo.layout import LICENSES, NETWORK
from zoo.output_folder import check_new_folder, fresh_folder
from zoo.release.local import Release
from zoo.release.record import File
from zoo.views.consumers import Consumer, find_consumer
from zoo.views.gate import Passed, pass_gate
from zoo.views.libraries import check_libraries
from zoo.views.made import Made
from zoo.views.record import VIEW, Check, InputRecord, Origin, OutputRecord, ViewRecord, to_json
from zoo.views.source import FolderOf, Source, checked_file, find_source, own_input
from zoo.views.triton import Backend
from zoo.views.view import Range, View
from zoo.views.wrapping import input_size, output_dimension, read_graph, wrap


@dataclass(frozen=True)
class Wanted:
    """What a user asks for.

    Attributes:
        consumer: name in `CONSUMERS`.
        backend: of Triton; None: ONNX Runtime, or another consumer.
        max_batch: None: the consumer's own.
        options: parts of the view; None where none was chosen.
    """

    consumer: str
    precision: Precision = "fp32"
    backend: Backend | None = None
    max_batch: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


NORMALISING: Mapping[Range, str] = {
    "255": "inside the graph: (pixel / 255 - mean) / std; give it pixels, 0 … 255",
    "1": "inside the graph: (x - mean) / std; give it pixels / 255",
    "normalised": "before the graph: give it (pixel / 255 - mean) / std",
}


def _facts(source: Source, view: View, consumer: Consumer, release: Release, dimension: int) -> dict[str, str]:
    """Facts for the metadata of the view's graph: those of the release's graphs, where the view differs the view's."""
    manifest, own = release.manifest, own_input(release)
    weights = {artifact.path: artifact.sha256 for artifact in manifest.artifacts}.get(f"{NETWORK}/{WEIGHTS}", "unknown")
    licenses = manifest.licenses.weights, manifest.licenses.data
    told = facts(manifest.label, licenses, own, dimension, manifest.recipe_digest, weights)
    if view.range == "normalised":
        told |= {"mean": ",".join(map(str, view.mean)), "std": ",".join(map(str, view.std))}
    return told | {
        "layout": view.layout.upper(),
        "dtype": view.dtype,
        "colors": view.colors.upper(),
        "range": view.range,
        "normalization": NORMALISING[view.range],
        "batch": str(view.batch or "any"),
        "precision": source.precision,
        "view_for": consumer.name,
        "view_of_sha256": source.sha256,
    }


def _graph(
    source: Source, view: View, consumer: Consumer, release: Release, scratch: Path
) -> tuple[tuple[Path, ...], tuple[int, int]]:
    """The view's graph with what it needs beside it, and its height and width."""
    if source.form == "openvino":
        own = own_input(release)
        return source.files, (own.height, own.width)
    check_libraries()
    model = read_graph(source.files[0])
    size, dimension = input_size(model), output_dimension(model)
    path = scratch / "view.onnx"
    path.write_bytes(wrap(model, view, _facts(source, view, consumer, release, dimension)))
    return (path,), size


def export_release(
    release: Release, home: Home, wanted: Wanted, out: Path, folder_of: FolderOf | None = None
) -> ViewRecord:
    """Write a release for a consumer into the folder `out`.

    Args:
        folder_of: where data sets are, to make int8 again that does not ship; None: it is not made again.

    Raises:
        ExportError: the consumer can't take it, the release has no such graph, or the view is not the release.
        NotPulled: a file of the release is not here.
        OutputError: the folder can't be written.
        ManifestError: a file of the release is damaged.
        TargetError: nothing is installed that could check the view, or it refuses a graph.
    """
    check_new_folder(out)
    consumer = find_consumer(wanted.consumer, wanted.backend, wanted.max_batch)
    view = consumer.settle(wanted.options, own_input(release))
    if view.batch and wanted.max_batch:
        raise ExportError(f"--batch {view.batch} is the only batch: leave out --max-batch.")
    forms = consumer.forms if view.is_plain else ("onnx",)  # OpenVINO's own model is taken as it is
    with tempfile.TemporaryDirectory(prefix="zoo-") as name:
        scratch = Path(name)
        source = find_source(release, wanted.precision, consumer.kinds, consumer.bits, forms, home, scratch, folder_of)
        files, size = _graph(source, view, consumer, release, scratch)
        passed = pass_gate(release, source, files, view, scratch)
        largest = view.batch or consumer.max_batch or 1
        manifest = release.manifest
        made = Made(
            manifest.label, manifest.name, view, *size, passed.dimension, source.precision, largest, source.form
        )
        with fresh_folder(out) as fresh:
            _fill(fresh, consumer, made, files, release)
            record = _record(fresh, consumer, made, source, passed, release, wanted)
            (fresh / VIEW).write_text(to_json(record), encoding="utf-8")
    return record


def _fill(folder: Path, consumer: Consumer, made: Made, files: tuple[Path, ...], release: Release) -> None:
    """Write everything but the record."""
    graph = PurePosixPath(consumer.graph(made))
    first, *others = files
    for source, path in [(first, graph), *((one, graph.with_name(one.name)) for one in others)]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / path)
    for name, text in consumer.files(made).items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            place.chmod(0o755)
    for document in release.manifest.documents:
        if document.path == LICENSES:
            shutil.copyfile(checked_file(release, document), folder / LICENSES)


def _record(
    folder: Path, consumer: Consumer, made: Made, source: Source, passed: Passed, release: Release, wanted: Wanted
) -> ViewRecord:
    view, manifest = made.view, release.manifest
    normalised = view.range == "normalised"
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    return ViewRecord(
        consumer=consumer.name,
        backend=(wanted.backend or "onnxruntime") if consumer.name == "triton" else None,
        origin=Origin(
            release=manifest.label,
            content_sha256=manifest.content_sha256,
            graph=source.origin,
            graph_sha256=source.sha256,
            precision=source.precision,
            weight_bits=source.weight_bits,
        ),
        input=InputRecord(
            name=view.input,
            dtype=view.dtype,
            layout=view.layout,
            range=view.range,
            colors=view.colors,
            height=made.height,
            width=made.width,
            batch=view.batch,
            mean=view.mean if normalised else None,
            std=view.std if normalised else None,
        ),
        output=OutputRecord(name=view.output, dimension=made.dimension),
        max_batch=made.max_batch if consumer.max_batch else None,
        check=Check(
            cosine=passed.cosine,
            golden_cosine=passed.golden_cosine,
            runtime=passed.runtime[0],
            runtime_version=passed.runtime[1],
        ),
        licenses=manifest.licenses,
        zoo=__version__,
        files=[
            File(path=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=sha256(path))
            for path in written
        ],
    )
