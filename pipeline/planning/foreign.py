"""Steps from the ONNX file of a foreign network to its graph; `pipeline.planning.deployment` follows.

file ─► export ─► reference     (there is no teacher and nothing is trained)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.data.samples import Index
from pipeline.engine.plan import Planned
from pipeline.engine.step import Step, StepId
from pipeline.foreign_recipe import ForeignRecipe
from pipeline.stages import foreign

GRAPH, REFERENCE = StepId("export", "student"), StepId("reference", "student")


def foreign_steps(recipe: ForeignRecipe, data: Index, parts: Mapping[str, Path]) -> Iterator[Step]:
    """Steps from file to graph, shared by all targets.

    Args:
        parts: see `pipeline.foreign.reading.file_parts`.
    """
    yield Step(
        GRAPH,
        foreign.take_graph,
        foreign.VERSION,
        {"input": recipe.input, "settings": recipe.export, "foreign": recipe.foreign},
        files=parts,
        libraries=foreign.LIBRARIES,
        data=data,
    )
    yield Step(
        REFERENCE,
        foreign.embed_reference,
        foreign.VERSION,
        {"input": recipe.input},
        inputs={"graph": GRAPH},
        libraries=foreign.REFERENCE_LIBRARIES,
        data=data,
    )


def check_graph(plan: Sequence[Planned], recipe: ForeignRecipe, path: Path) -> None:
    """Check, before anything is written, that a foreign network can become a release.

    Raises:
        ForeignError: see `pipeline.foreign.wrapping.wrap`.
    """
    from pipeline.foreign.reading import read_model
    from pipeline.foreign.wrapping import wrap

    if any(planned.step.id == GRAPH and not planned.hit for planned in plan):
        wrap(read_model(path), recipe.input, recipe.foreign, recipe.export.opset, path.name)
