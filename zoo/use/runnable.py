"""Artifacts of a release that could run on this machine, best first. `zoo.use.sessions` runs them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from targets.contract import Runtime, make_target, weight_bits
from targets.errors import TargetError
from targets.machine.device import int8_overflows, this_device
from targets.settings import PRECISIONS, Precision, TargetSettings
from zoo.catalogue import Catalogue, read_catalogue
from zoo.catalogue.problems import did_you_mean
from zoo.errors import CatalogueError, NothingRuns
from zoo.home import user_catalogue
from zoo.layout import GRAPH
from zoo.release.local import Release
from zoo.release.measurements import Measured
from zoo.release.record import Artifact

# Runtimes that run the graph directly, by the name they are asked for; the second one replaces the first if needed.
GRAPH_RUNTIMES = {
    "openvino": (TargetSettings("openvino"),),
    "onnxruntime": (TargetSettings("onnxruntime"), TargetSettings("onnxruntime", "CUDA")),
}


@dataclass(frozen=True)
class Runnable:
    """An artifact with the settings it runs under.

    Attributes:
        target: name that selects it again: a target of the release, or a runtime for the graph.
        files: of the artifact; a single one for the graph.
        settings: None if neither a measurement nor the catalogue tells its device.
        rank: the smallest is the best here.
        overflows: whether it is int8 whose sums overflow on this processor.
    """

    target: str
    precision: Precision
    files: tuple[Artifact, ...]
    settings: TargetSettings | None
    rank: tuple[float, ...]
    overflows: bool = False

    @property
    def is_graph(self) -> bool:
        """Whether it is the graph, which has to be compiled."""
        return self.files[0].target is None

    @property
    def sha256(self) -> str:
        """Digest of the artifact: of its file, or of the paths and digests of several."""
        if len(self.files) == 1:
            return self.files[0].sha256
        listed = {file.path: file.sha256 for file in self.files}
        return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> str:
        """Folder of its files in the release: the target's, or its subfolder if several precisions are kept."""
        inner = f"{self.target}/{self.precision}"
        return inner if all(file.path.startswith(f"{inner}/") for file in self.files) else self.target


def _rank(records: list[Measured]) -> tuple[float, ...]:
    """Sort key: measured on this device before others, then by time per image, reliable times first, which those that
    somebody else reported are not. A throttled run comes last.
    """
    here = this_device().name
    times = [
        (
            float(one.device.name != here),
            float(not one.counts or one.reported is not None),
            math.inf if one.throttled else one.latency[0].p50_ms / one.latency[0].batch,
        )
        for one in records
    ]
    return min(times)


def known_targets(own: Path | None) -> Catalogue:
    """The catalogue in a file on top of the shipped one; the shipped one alone if that can't be read."""
    try:
        return read_catalogue(own)
    except CatalogueError:
        return read_catalogue(None)


def _settings(target: str, runtime: str, ran: Runtime | None, catalogue: Catalogue) -> TargetSettings | None:
    """Settings of a target: as measured, otherwise from the catalogue."""
    found = catalogue.targets.get(target)
    known = found.computing if found and found.runtime == runtime else None
    return replace(known or TargetSettings(runtime), device=ran.device, options=ran.options) if ran else known


def _overflows(release: Release, target: str, settings: TargetSettings) -> bool:
    """Whether an int8 artifact has weights that overflow in the kernels of this processor; all of zoo 0.1.0 have."""
    if not int8_overflows():
        return False
    try:
        return release.manifest.weight_bits(target) > weight_bits(make_target(settings))
    except TargetError:  # it does not run here
        return False


def _compiled(release: Release, threads: int | None, catalogue: Catalogue) -> Iterator[Runnable]:
    groups: dict[tuple[str, Precision], list[Artifact]] = {}
    for artifact in release.manifest.artifacts:
        if artifact.target:
            groups.setdefault((artifact.target, artifact.precision), []).append(artifact)
    for (target, precision), files in groups.items():
        runtime, records = files[0].runtime or "", [r for r in release.measured if r.target == target]
        own = [r for r in records if (r.network, r.precision) == ("student", precision)]
        rank = _rank(own) if own else (3.0, float(PRECISIONS.index(precision)))
        settings = _settings(target, runtime, records[0].runtime if records else None, catalogue)
        settings = settings and replace(settings, threads=threads or settings.threads)
        overflows = precision == "int8" and settings is not None and _overflows(release, target, settings)
        yield Runnable(target, precision, tuple(files), settings, (4.0, *rank) if overflows else rank, overflows)


def runnables(release: Release, threads: int | None = None, catalogue: Catalogue | None = None) -> list[Runnable]:
    """Artifacts that could run somewhere, the best for this machine first.

    Ordered by time on this device, then by time on others; then the graph; then artifacts that were never measured;
    then int8 whose sums overflow on this processor.

    Args:
        catalogue: its targets apply where there are no measurements; by default the user's.
    """
    found = list(_compiled(release, threads, catalogue or known_targets(user_catalogue())))
    taken = {one.target for one in found}
    if graph := next((file for file in release.manifest.artifacts if file.path == GRAPH), None):
        for name, choices in GRAPH_RUNTIMES.items():
            if name not in taken:
                found += [
                    Runnable(name, "fp32", (graph,), replace(settings, threads=threads), (2.0, place))
                    for place, settings in enumerate(choices)
                ]
    return sorted(found, key=lambda one: one.rank)


def of_target(
    release: Release, target: str, threads: int | None = None, catalogue: Catalogue | None = None
) -> list[Runnable]:
    """Artifacts of one target, by its name, its alias, or the name of a runtime for the graph.

    Raises:
        NothingRuns: the release has none.
    """
    catalogue = catalogue or known_targets(user_catalogue())
    found = runnables(release, threads, catalogue)
    known = {one.target for one in found}
    if target not in known:
        target = catalogue.aliases.get(target, target)
    if target not in known:
        raise NothingRuns(
            f"{release.manifest.label} has nothing compiled for {target!r}. {did_you_mean(target, known)}"
        )
    return [one for one in found if one.target == target]


def graph_on(release: Release, target: str, settings: TargetSettings) -> Runnable | None:
    """The fp32 graph, to be compiled for a target; None if the release is not complete here."""
    graph = next((file for file in release.manifest.artifacts if file.path == GRAPH), None)
    return Runnable(target, "fp32", (graph,), settings, (2.0,)) if graph else None
