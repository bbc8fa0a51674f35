"""Networks of several widths, timed in turn on a target, from which a budget in milliseconds is predicted.

Here, or on a device: a bundle of the kind `widths` holds graphs and the code, and its result the figures of each graph.
It is run, sent and verified like any bundle (`targets.bundles.program`, `targets.ssh`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from targets.bundles.archive import read_archive
from targets.bundles.contents import (
    BATCH_BYTES,
    BUNDLE_LIST,
    check_entry,
    check_shared,
    is_count,
    read_settings,
    reading_list,
    require,
)
from targets.bundles.packed import make_artifact
from targets.contract import Job, Target
from targets.measuring.conditions import Conditions, Watch
from targets.measuring.energy import find_meter, measure_energy
from targets.measuring.graphs import time_graphs
from targets.names import NAME
from targets.settings import TargetSettings

KIND = "widths"  # in the list of a bundle and of its result
GRAPH_NAME = "graphs/{}.onnx"  # an artifact in its place keeps the name, see `targets.bundles.packed`
LOW = 10  # percentile of undisturbed calls


@dataclass(frozen=True)
class WidthFigures:
    """Figures of one network."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    name: str
    """sha256 of the graph"""
    p50_ms: float
    """median time of a call, ms"""
    low_ms: float
    """10th percentile of calls, ms; nearly unaffected by other work on the machine, so that it compares networks"""
    mean_ms: float
    """mean time of a call, ms; determines images per second"""
    calls: int
    """timed calls"""
    mj_per_image: float | None
    """energy per image, mJ; null without a meter"""


@dataclass(frozen=True)
class WidthsBundle:
    """An unpacked bundle of graphs; fields as in `targets.bundles.contents.Bundle`."""

    folder: Path
    key: str
    release: str
    target: str
    settings: TargetSettings
    entry: str
    height: int
    width: int
    batch: int
    calls: int
    max_seconds: float
    graphs: tuple[str, ...]


def time_widths(
    target: Target,
    graphs: Mapping[str, Path],
    scratch: Path,
    job: Job,
    calls: int,
    max_seconds: float,
    tell: Callable[[str], None],
) -> tuple[list[WidthFigures], Conditions]:
    """Compile graphs, or take artifacts of a portable target (`targets.bundles.packed`), and time them in turn.

    Arguments as for `targets.measuring.graphs.time_graphs`.

    Raises:
        ArtifactFailed: the runtime refuses a graph.
    """
    sessions, timing, conditions = time_graphs(
        target, graphs, scratch / "widths", job, calls, max_seconds, tell, make_artifact
    )
    batch, gpu = max(job.batches), target.gpu_bus_id
    images = np.random.default_rng(0).integers(0, 256, (batch, job.height, job.width, 3), np.uint8)
    meter = find_meter(gpu)
    rows = []
    for name, session in sessions.items():
        times = np.array(timing.times[name].calls)
        energy = measure_energy(meter, session, images, watch=Watch(gpu)) if meter else None
        rows.append(
            WidthFigures(
                name=name,
                p50_ms=round(float(np.median(times)), 4),
                low_ms=round(float(np.percentile(times, LOW)), 4),
                mean_ms=round(float(times.mean()), 4),
                calls=len(times),
                mj_per_image=energy.mj_per_image if energy else None,
            )
        )
    return rows, conditions


def is_widths(about: Mapping[str, Any]) -> bool:
    """Whether the list of a bundle or result is of kind `widths`."""
    return about.get("kind") == KIND


def open_widths(path: Path, folder: Path) -> WidthsBundle:
    """Verify a bundle of widths byte by byte and unpack it into a new folder.

    Raises:
        BadBundle: see `targets.bundles.archive.read_archive`; or its list is not one that a build writes.
        UnknownRuntime: no installed package provides its runtime.
    """
    about = read_archive(path, BUNDLE_LIST, folder)
    with reading_list(path):
        check_shared(about)
        require(is_count(about["batch"]), "batch", about["batch"])
        require(about["batch"] * about["height"] * about["width"] * 3 <= BATCH_BYTES, "batch", about["batch"])
        graphs = about["graphs"]
        require(isinstance(graphs, list) and bool(graphs) and len({*graphs}) == len(graphs), "graphs", graphs)
        for graph in graphs:
            require(bool(NAME.fullmatch(graph)) and GRAPH_NAME.format(graph) in about["files"], "graph", graph)
        settings = read_settings(about["settings"])
        check_entry(path, about["entry"], settings, about["files"])
    names = ("key", "release", "target", "entry", "height", "width", "batch", "calls", "max_seconds")
    return WidthsBundle(folder, settings=settings, graphs=tuple(graphs), **{name: about[name] for name in names})


def figures_of(
    bundle: WidthsBundle, target: Target, scratch: Path, cache: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Figures of the networks in a bundle's result: `rows` and `conditions`."""
    rows, conditions = time_widths(
        target,
        {name: bundle.folder / GRAPH_NAME.format(name) for name in bundle.graphs},
        scratch,
        Job(bundle.height, bundle.width, (bundle.batch,), cache),
        bundle.calls,
        bundle.max_seconds,
        tell,
    )
    return {"kind": KIND, "rows": [asdict(row) for row in rows], "conditions": asdict(conditions), "broken": []}
