"""Stage `compile`: compiles a graph to artifacts of one target."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data.images import Input
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.stages.export import GRAPH
from pipeline.stages.unsupported import passed_on
from targets.contract import EMBED_BATCH, Job, make_target
from targets.settings import TargetSettings

VERSION = 3
ARTIFACTS = "artifacts"


def job_batches(measured: tuple[int, ...]) -> tuple[int, ...]:
    """Batch sizes that an artifact has to accept."""
    return tuple(sorted({*measured, EMBED_BATCH}))


def compile_graph(
    work: Work, *, input: Input, target: TargetSettings, batches: tuple[int, ...], tried: bool, graph: Path
) -> None:
    """Write the target's files below `artifacts/`; for a broken graph, the reason (see `unsupported`).

    Args:
        batches: batch sizes to measure.
        tried: whether the target's device is here, so that the artifact can be run.
        graph: folder of a stage `export` or `calibrate`.

    Raises:
        CheckFailed: the artifact does not return unit embeddings.
        ArtifactFailed: the runtime refuses the graph.
    """
    if passed_on(work, graph):
        return
    folder = work.out / ARTIFACTS
    folder.mkdir()
    runner = make_target(target)
    with work.progress.bar(f"compiling for {target.runtime}", 100) as bar:
        done = 0

        def tell(_what: str, share: float) -> None:
            nonlocal done
            bar.advance(max(0, int(100 * share) - done))
            done = max(done, int(100 * share))

        runner.compile(graph / GRAPH, folder, Job(input.height, input.width, job_batches(batches), work.cache, tell))
    if not tried:
        return
    probe = np.random.default_rng(0).integers(0, 256, (2, input.height, input.width, 3), np.uint8)
    lengths = np.linalg.norm(runner.load(folder, work.cache).embed(probe), axis=1)
    lengths = lengths[np.isfinite(lengths)]  # fp16 may overflow, which the gate refuses, not this check
    if not np.allclose(lengths, 1, atol=1e-2):
        raise CheckFailed(f"the artifact of {target.runtime} gives embeddings of length {lengths[0]:.3f}, not 1.")
