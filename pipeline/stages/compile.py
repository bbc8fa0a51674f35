"""Stage `compile`: a graph becomes artifacts of one target."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data.images import Input
from pipeline.errors import CheckFailed
from pipeline.stages.export import GRAPH
from pipeline.work import Work
from targets.contract import Job, make_target
from targets.settings import TargetSettings

VERSION = 1
ARTIFACTS = "artifacts"


def compile_graph(work: Work, *, input: Input, target: TargetSettings, graph: Path) -> None:
    """Write the target's files below `artifacts/`.

    Args:
        graph: folder of a stage `export`.

    Raises:
        CheckFailed: what was compiled does not give unit embeddings.
        ArtifactFailed: the runtime refuses the graph.
    """
    folder = work.out / ARTIFACTS
    folder.mkdir()
    runner = make_target(target)
    runner.compile(graph / GRAPH, folder, Job(input.height, input.width, (2,)))
    probe = np.random.default_rng(0).integers(0, 256, (2, input.height, input.width, 3), np.uint8)
    lengths = np.linalg.norm(runner.load(folder).embed(probe), axis=1)
    if not np.allclose(lengths, 1, atol=1e-3):
        raise CheckFailed(f"the artifact of {target.runtime} gives embeddings of length {lengths[0]:.3f}, not 1.")
