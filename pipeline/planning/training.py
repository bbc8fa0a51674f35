"""Steps from recipe to graphs. `pipeline.planning.deployment` follows; `pipeline.planning.latency` comes before them if
a budget limits a figure of a target.

teacher ─► distill ─► compact ─► export, reference     (the teacher is exported and compared, too:
   └───────────────────────────► export, reference      the dense baseline)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.data.samples import Index
from pipeline.engine.plan import Planned
from pipeline.engine.step import COMPACT, DISTILL, LATENCY_BUDGET, TEACHER, NetworkName, Step, StepId
from pipeline.networks.hub import HubFile
from pipeline.networks.pretrained import Places
from pipeline.networks.released import Released
from pipeline.recipe import Recipe
from pipeline.stages import compact, distill, export, reference, teacher

Files = Mapping[str, Path | HubFile | None]
NETWORKS: Mapping[NetworkName, StepId] = {"teacher": TEACHER, "student": COMPACT}  # network → step that made it


def training_steps(
    recipe: Recipe,
    data: Index,
    places: Places = Places(),  # noqa: B008 - frozen
    start: Released | None = None,
) -> Iterator[Step]:
    """Steps from recipe to graphs, shared by all targets.

    Args:
        places: where pretrained weights are looked up.
        start: the network of the release that the recipe starts from, if it names one.

    Raises:
        WeightsError: see `Recipe.pretrained_weights`.
    """
    weights = recipe.pretrained_weights(places)
    common = {"input": recipe.input, "network": recipe.network}
    trained = {**common, "seed": recipe.seed, "sampling": recipe.sampling}
    compress = recipe.distill.compress
    teacher_files: Files = {"weights": weights["teacher"]}
    student_files: Files = {"weights": weights["student"]}
    layers: Files = {}
    if start and recipe.teacher_is_released:
        teacher_files = {"weights": start.weights, "layers": start.layers}
    if start and recipe.student_is_released:
        layers = {"layers": start.layers}
        student_files = {"weights": start.weights if recipe.distill.init == "release" else None, **layers}
    yield Step(
        TEACHER,
        teacher.train_teacher,
        teacher.VERSION,
        {
            **trained,
            "network": recipe.teacher_network,
            # `network` holds architecture and stride, and the weights' file the revision
            "settings": recipe.teacher.model_copy(update=dict.fromkeys(("architecture", "last_stride", "revision"))),
        },
        files=teacher_files,
        libraries=teacher.LIBRARIES,
        data=data,
        trains=True,
    )
    yield Step(
        DISTILL,
        distill.distill_student,
        distill.VERSION,
        {**trained, "settings": recipe.distill.read().model_copy(update={"revision": None})},
        inputs={"teacher": TEACHER} | ({"latency": LATENCY_BUDGET} if compress and compress.measured else {}),
        files=student_files,
        libraries=recipe.distill.libraries,
        data=data,
        trains=True,
    )
    yield Step(
        COMPACT,
        compact.compact_student,
        compact.VERSION,
        {
            **common,
            "sites": recipe.distill.sites,
            "align": recipe.distill.align,
            "both_sides": recipe.distill.method == "deap",
            "settings": recipe.compact,
        },
        inputs={"student": DISTILL},
        files=layers,
        libraries=compact.LIBRARIES,
        data=data,
    )
    for subject, source in NETWORKS.items():
        yield Step(
            StepId("export", subject),
            export.export_network,
            export.VERSION,
            {"input": recipe.input, "settings": recipe.export},
            inputs={"network": source},
            libraries=export.LIBRARIES,
            data=data,
        )
        yield Step(
            StepId("reference", subject),
            reference.embed_reference,
            reference.VERSION,
            {"input": recipe.input},
            inputs={"network": source},
            libraries=reference.LIBRARIES,
            data=data,
        )


def check_sampling(plan: Sequence[Planned], recipe: Recipe, data: Index) -> None:
    """Check, before training, that batches can be drawn.

    Raises:
        DataError: they can't.
    """
    if any(planned.step.trains and not planned.hit for planned in plan):
        recipe.sampling.check(data.train.identity_count)


def _initial(plan: Sequence[Planned]) -> Iterator[tuple[Step, Path | HubFile]]:
    """Steps that have to run, with the pretrained weights they are given. Networks of releases are checked earlier."""
    for planned in plan:
        if planned.step.trains and not planned.hit and not planned.step.files.get("layers"):
            yield from ((planned.step, file) for file in planned.step.files.values() if file is not None)


def check_weights(plan: Sequence[Planned], recipe: Recipe) -> None:
    """Check, before hours of training a teacher, that local weights are those of the networks that start from them.

    Raises:
        WeightsError: they are not, or can't be read.
    """
    from pipeline.networks.factory import build_network

    networks = {TEACHER: recipe.teacher_network, DISTILL: recipe.network}
    given = [(networks[step.id], file) for step, file in _initial(plan) if isinstance(file, Path)]
    for network, file in dict.fromkeys(given):
        build_network(network, recipe.input, file)


def fetch_weights(plan: Sequence[Planned]) -> None:
    """Download, before hours of training a teacher, what steps that have to run need from the Hub.

    Raises:
        WeightsError: it is not available.
    """
    for file in dict.fromkeys(file for _, file in _initial(plan) if isinstance(file, HubFile)):
        file.fetch()


def check_student(plan: Sequence[Planned], recipe: Recipe, start: Released | None = None) -> list[str]:
    """Check, before hours of training, that the student can be distilled as the recipe says.

    A budget that limits a figure of a target is checked by the stage `latency_budget`, also before training.

    Args:
        start: see `training_steps`.

    Returns:
        Lines to print before the build begins.

    Raises:
        PipelineError: it can't.
    """
    if any(planned.step.stage == "distill" and not planned.hit for planned in plan):
        return distill.check_student(
            recipe.input,
            recipe.network,
            recipe.teacher_network,
            recipe.distill,
            start.layers if start and recipe.student_is_released else None,
            start.layers if start and recipe.teacher_is_released else None,
        )
    return []
