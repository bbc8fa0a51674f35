"""Which file has a release's network in a precision.

Where it is looked for, the first that is there:

1. an artifact of the release: `graph/model.onnx` in fp32, the ONNX files of its targets, OpenVINO's model.xml;
2. the store, where the release was built here: the graph that the stage `calibrate` wrote;
3. fp16 only: the fp32 artifact, converted by the same function as in the stage `calibrate`.

int8 can't be made again without training images, so a pulled release has the int8 graphs that it ships and no others.
Which activations a consumer's runtime needs is its own matter (`calibration.quantize`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from calibration.errors import CalibrationError
from calibration.quantize import write_half
from pipeline.stages.export import GRAPH as STORED
from targets.files import sha256
from targets.settings import Activations, Precision
from zoo.errors import ExportError, ManifestError
from zoo.home import Home
from zoo.layout import GRAPH
from zoo.release.local import Release
from zoo.release.manifest import Artifact, Calibration

Form = Literal["onnx", "openvino"]
ONNX: tuple[Form, ...] = ("onnx",)
SUFFIXES: dict[str, Form] = {".onnx": "onnx", ".xml": "openvino"}


@dataclass(frozen=True)
class Source:
    """A graph of a release.

    Attributes:
        files: the graph, and what it needs beside it.
        sha256: digest of the first file.
        origin: where it is from, in words.
    """

    precision: Precision
    form: Form
    files: tuple[Path, ...]
    sha256: str
    origin: str


def _holding(release: Release, precision: Precision, kinds: Sequence[Activations]) -> list[Calibration]:
    """Calibrations of the student that passed the gate, by the activations that are preferred."""
    known = [
        one
        for one in release.manifest.calibrations
        if one.network == "student" and one.precision == precision and one.holds
    ]
    return [one for kind in (None, *kinds) for one in known if one.activations == kind]


def _artifacts(
    release: Release, precision: Precision, kinds: Sequence[Activations], forms: Collection[Form]
) -> Iterator[tuple[Form, Artifact, list[Artifact]]]:
    """Graphs among the artifacts, the preferred ones first, each with the other files of its folder."""
    listed = release.manifest.artifacts
    graphs = [one for one in listed if one.precision == precision and SUFFIXES.get(Path(one.path).suffix) in forms]
    if precision == "int8":  # another target's may have other activations
        targets = [one.target for one in _holding(release, precision, kinds)]
        graphs = [one for target in targets for one in graphs if one.target == target]
    for one in graphs:
        folder = Path(one.path).parent
        beside = [other for other in listed if other is not one and Path(other.path).parent == folder]
        yield SUFFIXES[Path(one.path).suffix], one, beside


def _checked(root: Path, artifact: Artifact, label: str) -> Path:
    path = root / artifact.path
    try:
        intact = sha256(path) == artifact.sha256
    except OSError as error:
        raise ManifestError(f"can't read {path}: {error.strerror}. Check its owner and mode.") from None
    if not intact:
        raise ManifestError(f"{path} is damaged: its sha256 differs from the manifest. See zoo verify {label}")
    return path


def _from_release(
    release: Release, precision: Precision, kinds: Sequence[Activations], forms: Collection[Form]
) -> tuple[Source | None, list[str]]:
    """A graph of the release that is here, and paths of those that were not pulled."""
    root, label = release.path.parent, release.manifest.label
    absent = []
    for form, artifact, beside in _artifacts(release, precision, kinds, forms):
        files = [artifact, *beside] if form == "openvino" else [artifact]
        if not all((root / one.path).is_file() for one in files):
            absent.append(artifact.path)
            continue
        paths = tuple(_checked(root, one, label) for one in files)
        return Source(precision, form, paths, artifact.sha256, f"artifact {artifact.path}"), absent
    return None, absent


def _from_store(release: Release, precision: Precision, kinds: Sequence[Activations], home: Home) -> Source | None:
    """A graph that the stage `calibrate` wrote here."""
    stages = {stage.name: stage.key for stage in release.manifest.stages}
    for one in _holding(release, precision, kinds):
        name = "/".join(["calibrate", "student", precision, *([one.target] if one.target else [])])
        path = home.store / "calibrate" / stages.get(name, "") / STORED
        if name in stages and path.is_file():
            return Source(precision, "onnx", (path,), sha256(path), f"stage {name}, key {stages[name]}")
    return None


def _converted(release: Release, scratch: Path) -> Source | None:
    """The fp32 graph in fp16, where that passed the gate."""
    exact, _ = _from_release(release, "fp32", (), ONNX)
    if exact is None or not _holding(release, "fp16", ()):
        return None
    path = scratch / "fp16.onnx"
    try:
        write_half(exact.files[0], path)
    except CalibrationError as error:
        raise ExportError(str(error)) from None
    return Source("fp16", "onnx", (path,), exact.sha256, f"artifact {GRAPH}, converted to fp16")


def find_source(
    release: Release,
    precision: Precision,
    kinds: Sequence[Activations],
    forms: Collection[Form],
    home: Home,
    scratch: Path,
) -> Source:
    """The graph of a release in a precision.

    Args:
        kinds: activations of int8 that will do, the preferred ones first.
        forms: files that will do.
        scratch: a folder for a graph that is made here.

    Raises:
        ExportError: the release has none; the message says which it has, or how to get it.
        ManifestError: a file is damaged, or can't be read.
    """
    found, absent = _from_release(release, precision, kinds, forms)
    if found is None and "onnx" in forms and precision != "fp32":
        found = _from_store(release, precision, kinds, home)
    if found is None and "onnx" in forms and precision == "fp16":
        found = _converted(release, scratch)
    if found is not None:
        return found
    manifest = release.manifest
    if absent:
        raise ExportError(f"{absent[0]} of {manifest.label} is not here. Get it: zoo pull {manifest.label} --all")
    raise ExportError(f"{manifest.label} has no graph in {precision} for this: {_why(release, precision, kinds)}")


def _why(release: Release, precision: Precision, kinds: Sequence[Activations]) -> str:
    manifest = release.manifest
    known = [one for one in manifest.calibrations if one.network == "student" and one.precision == precision]
    build = f"zoo build {manifest.name}"
    if precision != "fp32" and not known:
        return f"it was built without that precision. Build it: {build}"
    if precision != "fp32" and not any(one.holds for one in known):
        return "it lost more mAP than its recipe allows, so it never ships. Use --precision fp32."
    if precision == "int8":
        which = f" with {kinds[0]} activations" if len(kinds) == 1 else ""
        return (
            f"it ships no int8 ONNX file{which}, and none can be made without training images. Use --precision fp16, "
            f"or build it here: {build}"
        )
    return f"{GRAPH} is not listed in its manifest. Build it again: {build}"
