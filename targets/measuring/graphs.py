"""Graphs of one input size, compiled and timed in turn in one run on an idle machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from targets.contract import Job, Session, Target
from targets.measuring.conditions import Conditions, Watch
from targets.measuring.latency import Timing, measure_latency
from targets.measuring.quiet import assess, when_quiet

Make = Callable[[Target, Path, Path, Job], None]


def compile_graph(target: Target, graph: Path, folder: Path, job: Job) -> None:
    """Compile a graph into a folder."""
    target.compile(graph, folder, job)


def time_graphs(
    target: Target,
    graphs: Mapping[str, Path],
    scratch: Path,
    job: Job,
    calls: int,
    max_seconds: float,
    tell: Callable[[str], None],
    make: Make = compile_graph,
) -> tuple[dict[str, Session], Timing, Conditions]:
    """Compile graphs and time them in turn.

    Args:
        graphs: by name, which is also that of a folder in `scratch`.
        scratch: a folder for artifacts, which the caller removes.
        job: its largest batch is the batch of every call.
        calls, max_seconds: see `targets.measuring.latency.measure_latency`.
        make: writes the artifact of a target and graph into a folder.

    Returns:
        Sessions and times by name, and the conditions of the run.

    Raises:
        ArtifactFailed: the runtime refuses a graph.
    """
    sessions = {}
    for number, (name, graph) in enumerate(graphs.items(), 1):
        if number == 1 or number % 8 == 0:
            tell(f"compiling network {number} of {len(graphs)}")
        folder = scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        make(target, graph, folder, job)
        sessions[name] = target.load(folder, job.cache)
    batch = max(job.batches)
    tell(f"timing {len(graphs)} networks in turn at batch {batch}")
    images = np.random.default_rng(0).integers(0, 256, (batch, job.height, job.width, 3), np.uint8)
    gpu = target.gpu_bus_id

    def run() -> tuple[Timing, Conditions]:
        watch = Watch(gpu)
        timing = measure_latency(sessions, images, calls, max_seconds, between=watch.look)
        return timing, watch.conditions()

    timing, conditions = when_quiet(run, lambda found: assess(found[1]), tell)
    return sessions, timing, conditions
