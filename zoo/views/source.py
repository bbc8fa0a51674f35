"""Which file has a release's network in a precision.

Where it is looked for, the first that is there:

1. an artifact of the release: `graph/model.onnx` in fp32, the ONNX files of its targets, OpenVINO's model.xml;
2. the store, where the release was built here: the graph that the stage `calibrate` wrote;
3. fp16 only: the fp32 artifact, converted by the same function as in the stage `calibrate`;
4. int8 only: the fp32 artifact, quantised again on the images of its calibration (`zoo.views.recalibration`).

Which activations a consumer's runtime needs is its own matter (`calibration.quantize`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from calibration.errors import CalibrationError
from calibration.quantize import write_half
from pipeline.data.images import Input
from pipeline.stages.export import GRAPH as STORED
from targets.files import sha256
from targets.settings import Activations, Precision, WeightBits
from zoo.errors import ExportError, ManifestError, NotPulled, ZooError
from zoo.home import Home
from zoo.layout import GRAPH
from zoo.release.local import Release
from zoo.release.manifest import Calibration
from zoo.release.record import Artifact, File
from zoo.views.libraries import check_libraries
from zoo.views.recalibration import quantize_again

Form = Literal["onnx", "openvino"]
ONNX: tuple[Form, ...] = ("onnx",)
FolderOf = Callable[[str], Path]  # of a data set by name; raises a `ZooError` if it is not here
SUFFIXES: dict[str, Form] = {".onnx": "onnx", ".xml": "openvino"}
QUANTISED = "openvino-cpu"  # a target that any machine can build for, in all precisions


@dataclass(frozen=True)
class Source:
    """A graph of a release.

    Attributes:
        files: the graph, and what it needs beside it.
        sha256: digest of the first file.
        origin: where it is from, in words.
        weight_bits: of int8 weights; None for other precisions.
    """

    precision: Precision
    form: Form
    files: tuple[Path, ...]
    sha256: str
    origin: str
    weight_bits: WeightBits | None = None


def _holding(
    release: Release, precision: Precision, kinds: Sequence[Activations], bits: WeightBits = 8
) -> list[Calibration]:
    """Calibrations of the student that passed the gate: by the activations, then by the bits, that are preferred."""
    known = [
        one
        for one in release.manifest.calibrations
        if one.network == "student" and one.precision == precision and one.holds
    ]
    known.sort(key=lambda one: one.int8_bits != bits)
    return [one for kind in (None, *kinds) for one in known if one.activations == kind]


def _artifacts(
    release: Release, precision: Precision, kinds: Sequence[Activations], bits: WeightBits, forms: Collection[Form]
) -> Iterator[tuple[Form, Artifact, list[Artifact]]]:
    """Graphs among the artifacts, the preferred ones first, each with the other files of its folder."""
    listed = release.manifest.artifacts
    graphs = [one for one in listed if one.precision == precision and SUFFIXES.get(Path(one.path).suffix) in forms]
    if precision == "int8":  # another target's may have other activations
        targets = [one.target for one in _holding(release, precision, kinds, bits)]
        graphs = [one for target in targets for one in graphs if one.target == target]
    for one in graphs:
        folder = Path(one.path).parent
        beside = [other for other in listed if other is not one and Path(other.path).parent == folder]
        yield SUFFIXES[Path(one.path).suffix], one, beside


def checked_file(release: Release, file: File) -> Path:
    """Path of a file of a release, whose content was compared with the manifest.

    Raises:
        NotPulled: it is not here.
        ManifestError: it is damaged, or can't be read.
    """
    path, label = release.path.parent / file.path, release.manifest.label
    try:
        if not path.is_file():
            raise NotPulled(file.path, label, file.target if isinstance(file, Artifact) else None)
        intact = sha256(path) == file.sha256
    except OSError as error:
        raise ManifestError(f"can't read {path}: {error.strerror}. Check its owner and mode.") from None
    if not intact:
        raise ManifestError(f"{path} is damaged: its sha256 differs from the manifest. See zoo verify {label}")
    return path


def _from_release(
    release: Release, precision: Precision, kinds: Sequence[Activations], bits: WeightBits, forms: Collection[Form]
) -> tuple[Source | None, NotPulled | None]:
    """A graph of the release that is here; or else which one was not pulled, if any."""
    absent = None
    for form, artifact, beside in _artifacts(release, precision, kinds, bits, forms):
        try:
            paths = tuple(
                checked_file(release, one) for one in ([artifact, *beside] if form == "openvino" else [artifact])
            )
        except NotPulled as error:
            absent = absent or error
            continue
        known = release.manifest.weight_bits(artifact.target) if precision == "int8" and artifact.target else None
        return Source(precision, form, paths, artifact.sha256, f"artifact {artifact.path}", known), None
    return None, absent


def _from_store(
    release: Release, precision: Precision, kinds: Sequence[Activations], bits: WeightBits, home: Home
) -> Source | None:
    """A graph that the stage `calibrate` wrote here."""
    stages = {stage.name: stage.key for stage in release.manifest.stages}
    for one in _holding(release, precision, kinds, bits):
        name = "/".join(["calibrate", "student", precision, *([one.target] if one.target else [])])
        path = home.store / "calibrate" / stages.get(name, "") / STORED
        if name in stages and path.is_file():
            origin = f"stage {name}, key {stages[name]}"
            return Source(precision, "onnx", (path,), sha256(path), origin, one.int8_bits)
    return None


def _converted(release: Release, scratch: Path) -> Source | None:
    """The fp32 graph in fp16, where that passed the gate."""
    if not _holding(release, "fp16", ()):
        return None
    exact = _exact(release)
    path = scratch / "fp16.onnx"
    check_libraries()
    try:
        write_half(exact.files[0], path)
    except CalibrationError as error:
        raise ExportError(str(error)) from None
    return Source("fp16", "onnx", (path,), exact.sha256, f"artifact {GRAPH}, converted to fp16")


def _quantised(
    release: Release, kinds: Sequence[Activations], bits: WeightBits, folder_of: FolderOf, scratch: Path
) -> Source | None:
    """The fp32 graph in int8, made again as a calibration that passed the gate describes it."""
    one = next((one for one in _holding(release, "int8", kinds, bits) if one.images and one.images_sha256), None)
    if one is None:
        return None
    exact, data = _exact(release), release.manifest.data.name
    path = scratch / "int8.onnx"
    check_libraries()
    try:
        quantize_again(exact.files[0], own_input(release), one, folder_of(data), path)
    except ZooError as error:
        raise ExportError(
            f"{release.manifest.label} does not ship this int8 graph ({one.activations} activations), and it can't be "
            f"made again from {len(one.images)} training images of {data}: {error} {_instead(release)}"
        ) from None
    how = f"quantised again as for {one.target}: {one.activations}, {len(one.images)} images of {data}"
    return Source("int8", "onnx", (path,), exact.sha256, f"artifact {GRAPH}, {how}", one.int8_bits)


def _exact(release: Release) -> Source:
    """The fp32 graph.

    Raises:
        NotPulled, ManifestError: it is not here, or damaged.
    """
    found, absent = _from_release(release, "fp32", (), 8, ONNX)
    if found is None:
        raise absent or ManifestError(f"the manifest of {release.manifest.label} lists no {GRAPH}. {_again(release)}")
    return found


def _again(release: Release) -> str:
    return f"Build it again: {release.manifest.rebuild}"


def own_input(release: Release) -> Input:
    """The input of a release.

    Raises:
        ManifestError: its manifest does not say it.
    """
    try:
        return Input.model_validate(release.manifest.recipe["input"])
    except (KeyError, ValidationError):
        raise ManifestError(f"the manifest of {release.manifest.label} lacks input. {_again(release)}") from None


def find_source(
    release: Release,
    precision: Precision,
    kinds: Sequence[Activations],
    bits: WeightBits,
    forms: Collection[Form],
    home: Home,
    scratch: Path,
    folder_of: FolderOf | None = None,
) -> Source:
    """The graph of a release in a precision.

    Args:
        kinds: activations of int8 that will do, the preferred ones first.
        bits: of int8 weights, as preferred; others will do.
        forms: files that will do.
        scratch: a folder for a graph that is made here.
        folder_of: where data sets are; None: int8 is not made again.

    Raises:
        ExportError: the release has none; the message says which it has, or how to get it.
        NotPulled: it has one, which is not here.
        ManifestError: a file is damaged, or can't be read.
    """
    found, absent = _from_release(release, precision, kinds, bits, forms)
    if found is None and "onnx" in forms and precision != "fp32":
        found = _from_store(release, precision, kinds, bits, home)
    if found is None and "onnx" in forms and precision == "fp16":
        found = _converted(release, scratch)
    if found is None and absent is not None:
        raise absent
    if found is None and folder_of and "onnx" in forms and precision == "int8":
        found = _quantised(release, kinds, bits, folder_of, scratch)
    if found is None:
        why = _why(release, precision, kinds)
        raise ExportError(f"{release.manifest.label} has no graph in {precision} for this: {why}")
    return found


def _instead(release: Release) -> str:
    return f"Or use --precision {'fp16' if _holding(release, 'fp16', ()) else 'fp32'}."


def _why(release: Release, precision: Precision, kinds: Sequence[Activations]) -> str:
    manifest = release.manifest
    known = [one for one in manifest.calibrations if one.network == "student" and one.precision == precision]
    build = manifest.rebuild
    if precision != "fp32" and not known:
        one = manifest.recipe.get("precision", "auto") != "auto"
        command = f"{build} --precision auto" if one else manifest.command_for(QUANTISED)
        return f"it was built without that precision. Build it: {command}"
    if precision != "fp32" and not any(one.holds for one in known):
        return "it lost more mAP than its recipe allows, so it never ships. Use --precision fp32."
    if precision == "int8":
        which = f" with {kinds[0]} activations" if len(kinds) == 1 else ""
        if not _holding(release, "int8", kinds):
            command = manifest.command_for(QUANTISED)
            return f"it was calibrated for no target{which}. Build it for one that needs them: {command}"
        return f"it ships no int8 ONNX file{which}. Build it here: {build}"
    return f"{GRAPH} is not listed in its manifest. {_again(release)}"
