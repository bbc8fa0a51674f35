"""Which artifact of a release runs on this machine, and the one that is best here."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.files import sha256
from targets.contract import Job, Session, make_target
from targets.device import cache_folder, this_device
from targets.errors import TargetError, Unusable
from targets.settings import PRECISIONS, Precision, TargetSettings
from zoo.catalogue import load_catalogue
from zoo.catalogue.problems import did_you_mean
from zoo.errors import ManifestError, NothingRuns
from zoo.manifest import Artifact
from zoo.measurements import Measured
from zoo.releases import Release

GRAPH = "graph/model.onnx"  # the student in fp32, what targets are compiled from
# Runtimes that take the graph as it is, in seconds, by the name they are asked for; the second stands in for the first.
GRAPH_RUNTIMES = {
    "openvino": (TargetSettings("openvino"),),
    "onnxruntime": (TargetSettings("onnxruntime"), TargetSettings("onnxruntime", "CUDA")),
}
PROBED = 8  # images at once that every artifact takes


@dataclass(frozen=True)
class Runnable:
    """An artifact with the settings that it runs under.

    Attributes:
        target: what to ask for to get it again: a target of the release, or a runtime that takes the graph.
        files: of the artifact; of the graph the one file.
        settings: none where neither a measurement nor the catalogue says on which device it runs.
        rank: the smallest is the best to have here.
    """

    target: str
    precision: Precision
    files: tuple[Artifact, ...]
    settings: TargetSettings | None
    rank: tuple[float, ...]

    @property
    def is_graph(self) -> bool:
        """Whether it still has to be compiled."""
        return self.files[0].target is None

    @property
    def sha256(self) -> str:
        """Digest of what runs: of its file, or of the paths and digests of several."""
        if len(self.files) == 1:
            return self.files[0].sha256
        listed = {file.path: file.sha256 for file in self.files}
        return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> str:
        """Where its files lie in the release: below the target, or where several precisions are kept below each."""
        inner = f"{self.target}/{self.precision}"
        return inner if all(file.path.startswith(f"{inner}/") for file in self.files) else self.target


def _rank(records: list[Measured]) -> tuple[float, ...]:
    """Measured on this device, then on any, by time per image. A throttled run's times are not its own: it is last."""
    here = this_device().name
    times = [
        (
            float(one.device.name != here),
            math.inf if one.conditions.throttled else one.latency[0].p50_ms / one.latency[0].batch,
        )
        for one in records
    ]
    return min(times)


def _compiled(release: Release, threads: int | None) -> Iterator[Runnable]:
    groups: dict[tuple[str, Precision], list[Artifact]] = {}
    for artifact in release.manifest.artifacts:
        if artifact.target:
            groups.setdefault((artifact.target, artifact.precision), []).append(artifact)
    for (target, precision), files in groups.items():
        runtime, records = files[0].runtime or "", [r for r in release.measured if r.target == target]
        own = [r for r in records if (r.network, r.precision) == ("student", precision)]
        rank = _rank(own) if own else (3.0, float(PRECISIONS.index(precision)))
        settings: TargetSettings | None = None
        if records:
            settings = TargetSettings(runtime, records[0].runtime.device)
        elif (known := load_catalogue().targets.get(target)) and known.runtime == runtime:
            settings = known.computing
        settings = settings and replace(settings, threads=threads or settings.threads)
        yield Runnable(target, precision, tuple(files), settings, rank)


def runnables(release: Release, threads: int | None = None) -> list[Runnable]:
    """What could run somewhere, the best for this machine first.

    Artifacts by their time on this device, then by that on any other; then the graph; then what was never measured.
    """
    found = list(_compiled(release, threads))
    taken = {one.target for one in found}
    if graph := next((file for file in release.manifest.artifacts if file.path == GRAPH), None):
        for name, choices in GRAPH_RUNTIMES.items():
            if name not in taken:
                found += [
                    Runnable(name, "fp32", (graph,), replace(settings, threads=threads), (2.0, place))
                    for place, settings in enumerate(choices)
                ]
    return sorted(found, key=lambda one: one.rank)


def _checked_root(release: Release, one: Runnable) -> Path:
    root, name = release.path.parent, release.manifest.name
    for file in one.files:
        path = root / file.path
        if not path.is_file():
            target = "" if one.is_graph else f" --target {one.target}"
            raise Unusable(
                f"{file.path} is not here", f"Get it: zoo pull {name}{target}; or build it: zoo build {name}"
            )
        if sha256(path) != file.sha256:
            raise ManifestError(
                f"{path} is damaged: its sha256 is not the manifest's. Get it again: zoo pull {name}, or zoo build "
                f"{name} with the folder {root} removed."
            )
    return root


def _cache() -> Path | None:
    """What runtimes keep to start faster; none where nothing can be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def start(release: Release, one: Runnable, size: tuple[int, int]) -> Session:
    """Load it.

    Args:
        size: height and width of an image.

    Raises:
        ManifestError: a file of it is damaged.
        TargetError: it can't be used here; `Unusable` says what to do.
    """
    if one.settings is None:
        raise Unusable(
            f"nothing says on which device {one.target} runs: it was never measured and is not in the catalogue",
            "Add it to `targets:` in zoo.yaml.",
        )
    runner = make_target(one.settings)
    runner.check()
    root = _checked_root(release, one)
    if not one.is_graph:
        return runner.load(root / one.folder, _cache())
    with TemporaryDirectory(prefix="zoo-") as scratch:
        runner.compile(root / one.files[0].path, Path(scratch), Job(*size, (1, PROBED)))
        return runner.load(Path(scratch))


def _named(release: Release, found: list[Runnable], target: str) -> list[Runnable]:
    known = {one.target for one in found}
    if target not in known:
        target = load_catalogue().aliases.get(target, target)
    if target not in known:
        raise NothingRuns(
            f"{release.manifest.label} has nothing compiled for {target!r}. {did_you_mean(target, known)}"
        )
    return [one for one in found if one.target == target]


def start_best(
    release: Release, size: tuple[int, int], target: str | None = None, threads: int | None = None
) -> tuple[Runnable, Session]:
    """The best that can be used here, or the best of one target.

    Raises:
        NothingRuns: none can; says why and what to install.
        ManifestError: a file is damaged.
    """
    found = runnables(release, threads)
    found = _named(release, found, target) if target else found
    failed: list[tuple[Runnable, TargetError]] = []
    for one in found:
        try:
            return one, start(release, one, size)
        except TargetError as error:
            failed.append((one, error))
    label = release.manifest.label
    if target and failed:
        raise NothingRuns(f"{label} does not run here as {target}: {failed[0][1]}")
    whys = [error.why if isinstance(error, Unusable) else str(error).rstrip(".") for _, error in failed]
    mends = [
        error.mend
        for one, error in failed
        if isinstance(error, Unusable) and one.settings and one.settings.device == "CPU"  # which every machine has
    ]
    raise NothingRuns(f"nothing here runs {label}: {'; '.join(dict.fromkeys(whys))}. {''.join(mends[:1])}".strip())
