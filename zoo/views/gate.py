"""Whether a view gives the embedding of the release: the golden input, prepared as the consumer does, through the view.

It is compared with the embedding of the graph that the view was made from, which in turn has to give the release's
golden embedding within the limit of its precision (`zoo.documents.golden`): that in the release, or for a precision
that it does not ship the one that its calibrations allow.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from targets.contract import Session, make_target, runtime_version
from targets.onnxruntime import ARTIFACT
from targets.openvino import ARTIFACT as IR
from targets.settings import Precision, TargetSettings
from zoo.documents.golden import least
from zoo.errors import ExportError, NotPulled
from zoo.layout import GOLDEN_EMBEDDING, GOLDEN_INPUT
from zoo.release.local import Release
from zoo.use.golden import Golden, read_golden
from zoo.views.source import Form, Source, checked_file
from zoo.views.view import View

LEAST = 0.9999
# ONNX Runtime computes int8 as ONNX defines it, not as kernels of this machine do: views run elsewhere.
RUNTIMES: dict[Form, TargetSettings] = {
    "onnx": TargetSettings("onnxruntime", threads=1, options={"int8_kernels": False}),
    "openvino": TargetSettings("openvino", threads=1),
}


@dataclass(frozen=True)
class Passed:
    """A view that passed.

    Attributes:
        cosine: between the embeddings by the view and by the graph it was made from.
        golden_cosine: between the embedding by the view and the release's golden one, of its fp32 graph.
        runtime: name and version.
        dimension: D, components of the embedding.
    """

    cosine: float
    golden_cosine: float
    runtime: tuple[str, str]
    dimension: int


def _load(files: tuple[Path, ...], form: Form, scratch: Path) -> Session:
    """A session of a graph, from a folder with the names that the target expects."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    first, *others = files
    shutil.copyfile(first, folder / (ARTIFACT if form == "onnx" else IR))
    for other in others:
        shutil.copyfile(other, folder / other.name)
    return make_target(RUNTIMES[form]).load(folder)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of two vectors; 0 if one is not finite, or they differ in shape."""
    if one.shape != other.shape:
        return 0.0
    one, other = one.astype(np.float64), other.astype(np.float64)
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if np.isfinite(length) and length > 0 else 0.0


def _golden(release: Release, precision: Precision) -> Golden:
    """The golden input, with a limit for the precision."""
    label = release.manifest.label
    for document in release.manifest.documents:
        if document.path in (GOLDEN_INPUT, GOLDEN_EMBEDDING):
            checked_file(release, document)
    golden = read_golden(release.path.parent)
    if golden is None:
        raise NotPulled("the golden input", label, None)
    known = [
        one.agreement.min_cosine
        for one in release.manifest.calibrations
        if (one.network, one.precision, one.holds) == ("student", precision, True)
    ]
    return replace(golden, min_cosine={precision: least(known), **golden.min_cosine})


def pass_gate(release: Release, source: Source, files: tuple[Path, ...], view: View, scratch: Path) -> Passed:
    """Check a view before it is written.

    Args:
        files: the view's graph, and what it needs beside it.
        scratch: a folder for copies that runtimes load.

    Raises:
        ExportError: the view gives another embedding.
        NotPulled: the release has no golden input here.
        ManifestError: that is damaged.
        TargetError: no runtime is here (`Unusable`), or it refuses a graph.
    """
    label, settings = release.manifest.label, RUNTIMES[source.form]
    golden = _golden(release, source.precision)
    target = make_target(settings)
    target.check()
    graph = _load(source.files, source.form, scratch)
    golden.check(graph, source.precision, f"{label}, {source.origin},")
    expected = graph.embed(golden.picture[None])[0]
    found = _load(files, source.form, scratch).embed(view.feed(golden.picture[None]))[0]
    cosine = _cosine(found, expected)
    if not cosine >= LEAST:
        raise ExportError(
            f"the view of {label} in {source.precision} gives another embedding of the golden input: cosine "
            f"{cosine:.6f}, at least {LEAST} expected. Nothing was written; please report it."
        )
    return Passed(cosine, _cosine(found, golden.embedding), (settings.runtime, runtime_version(target)), found.shape[0])
