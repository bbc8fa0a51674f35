"""From graphs to figures on one target; by where the target is.

here         calibrate ─► compile ─► measure
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.build import SUBJECTS
from pipeline.data.samples import Index
from pipeline.plan import Planned
from pipeline.recipe import Recipe
from pipeline.stages import calibrate, compile, measure
from pipeline.step import Step
from targets.contract import Target, make_target, precisions_of, runtime_version
from targets.device import this_device
from targets.settings import PRECISIONS, Precision, TargetSettings


def variants(recipe: Recipe, target: TargetSettings, runner: Target) -> list[tuple[str, Precision]]:
    """What is compiled for a target: subjects in their precisions. The student in fp32 is always among them.

    Raises:
        UnsupportedPrecision: the recipe's precision is none of the target's.
    """
    wanted = None if recipe.precision == "auto" else recipe.precision
    student = {*precisions_of(runner, target, wanted), "fp32"}
    asked = {"teacher": {*recipe.measure.dense}, "student": student}
    return [
        (subject, precision)
        for subject in SUBJECTS
        for precision in PRECISIONS
        if precision in asked[subject] and precision in runner.precisions
    ]


def graph_name(subject: str, precision: Precision, name: str) -> str:
    """The step that makes a graph; int8 is a target's own, as its activations and its gate are."""
    match precision:
        case "fp32":
            return f"export/{subject}"
        case "fp16":
            return f"calibrate/{subject}/fp16"
        case "int8":
            return f"calibrate/{subject}/int8/{name}"


def graph_steps(
    recipe: Recipe, data: Index, name: str, target: TargetSettings, judge: TargetSettings, runner: Target
) -> Iterator[Step]:
    """The graphs of all precisions but fp32, which `export` makes.

    Args:
        judge: who finds out what int8 costs.
    """
    common = {"input": recipe.input, "settings": recipe.calibrate}
    for subject, precision in variants(recipe, target, runner):
        inputs = {"graph": f"export/{subject}", "reference": f"reference/{subject}"}
        if precision == "fp16":
            yield Step(
                graph_name(subject, precision, name),
                calibrate.halve_graph,
                calibrate.VERSION,
                common,
                inputs=inputs,
                libraries=calibrate.LIBRARIES,
                data=data,
            )
        if precision == "int8":
            yield Step(
                graph_name(subject, precision, name),
                calibrate.quantize_graph,
                calibrate.VERSION,
                {**common, "seed": recipe.seed, "activations": runner.activations, "judge": judge},
                inputs=inputs,
                libraries=(*calibrate.LIBRARIES, make_target(judge).distribution),
                data=data,
            )


def target_steps(recipe: Recipe, data: Index, name: str, target: TargetSettings) -> Iterator[Step]:
    """All steps of one target, on this machine.

    Raises:
        UnknownRuntime: no installed package offers the target's runtime.
        UnsupportedPrecision: see `variants`.
        Unusable: the runtime itself is not installed.
    """
    runner = make_target(target)
    runtime_version(runner)
    runtime = (runner.distribution,)
    yield from graph_steps(recipe, data, name, target, target, runner)
    compiled = {}
    for subject, precision in variants(recipe, target, runner):
        compiled[f"{subject}/{precision}"] = step = f"compile/{subject}/{precision}/{name}"
        yield Step(
            step,
            compile.compile_graph,
            compile.VERSION,
            {"input": recipe.input, "target": target, "batches": recipe.measure.batches, "tried": True},
            inputs={"graph": graph_name(subject, precision, name)},
            libraries=runtime,
        )
    yield Step(
        f"measure/{name}",
        measure.measure_target,
        measure.VERSION,
        {
            "input": recipe.input,
            "target": target,
            "settings": recipe.measure,
            "precision": recipe.precision,
            "max_map_drop_points": recipe.calibrate.max_map_drop_points,
        },
        inputs={**compiled, **{f"reference/{subject}": f"reference/{subject}" for subject in SUBJECTS}},
        libraries=(*measure.LIBRARIES, *runtime),
        data=data,
        place=this_device(),
    )


def check_targets(plan: Sequence[Planned]) -> None:
    """Find out before hours of training whether the targets of the steps to run are usable here.

    Raises:
        Unusable: one is not.
    """
    for planned in plan:
        target = planned.step.settings.get("target")
        if not planned.hit and isinstance(target, TargetSettings):
            make_target(target).check()


def check_calibration(plan: Sequence[Planned], recipe: Recipe, data: Index) -> None:
    """Find out before hours of training whether there are enough images to calibrate on.

    Raises:
        TooFewImages: there are not.
    """
    if any(planned.step.run is calibrate.quantize_graph and not planned.hit for planned in plan):
        recipe.calibrate.check(data)
