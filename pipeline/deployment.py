"""From graphs to figures on one target; by where its device is.

here        calibrate ─► compile ─► measure
over ssh    calibrate ─► bundle ─► device
elsewhere   calibrate ─► bundle [─► device, once its result was brought]; ─► compile, if that can be done ahead
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from pipeline.build import SUBJECTS
from pipeline.data.samples import Index
from pipeline.plan import Planned
from pipeline.recipe import Recipe
from pipeline.stages import broken, bundle, calibrate, compile, device, measure
from pipeline.step import Step
from targets.contract import Target, make_target, precisions_of, runtime_version
from targets.device import is_board, this_device
from targets.errors import Unusable
from targets.settings import PRECISIONS, Precision, TargetSettings
from targets.ssh import check_device
from targets.ssh.address import read_address

Place = Literal["here", "ssh", "elsewhere"]


def may_ship(recipe: Recipe, target: TargetSettings, runner: Target) -> tuple[Precision, ...]:
    """Precisions of the student of which one is kept.

    Raises:
        UnsupportedPrecision: the recipe's precision is none of the target's.
    """
    return precisions_of(runner, target, None if recipe.precision == "auto" else recipe.precision)


def variants(recipe: Recipe, target: TargetSettings, runner: Target) -> list[tuple[str, Precision]]:
    """What is compiled for a target: subjects in their precisions. The student in fp32 is always among them.

    Raises:
        UnsupportedPrecision: see `may_ship`.
    """
    asked = {"teacher": {*recipe.measure.dense}, "student": {*may_ship(recipe, target, runner), "fp32"}}
    return [
        (subject, precision)
        for subject in SUBJECTS
        for precision in PRECISIONS
        if precision in asked[subject] and precision in runner.precisions
    ]


def _tolerant(
    run: Callable[..., None], runs: TargetSettings, subject: str, precision: Precision, ships: tuple[Precision, ...]
) -> Callable[..., None]:
    """The function of a variant's stage. A build goes on without a variant that can't be had, unless it is the student
    in fp32, which all else is compared with, or all that may ship. What it does then is no part of a step's key.

    Args:
        runs: what runs graphs in it.
        ships: see `may_ship`.
    """
    needed = subject == "student" and (precision == "fp32" or ships == (precision,))
    return run if needed else partial(broken.breakable, run, runs)


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
    ships = may_ship(recipe, target, runner)
    for subject, precision in variants(recipe, target, runner):
        inputs = {"graph": f"export/{subject}", "reference": f"reference/{subject}"}
        if precision == "fp16":
            yield Step(
                graph_name(subject, precision, name),
                _tolerant(calibrate.halve_graph, calibrate.HOST, subject, precision, ships),
                calibrate.VERSION,
                common,
                inputs=inputs,
                libraries=calibrate.LIBRARIES,
                data=data,
            )
        if precision == "int8":
            yield Step(
                graph_name(subject, precision, name),
                _tolerant(calibrate.quantize_graph, judge, subject, precision, ships),
                calibrate.VERSION,
                {**common, "seed": recipe.seed, "activations": runner.activations, "judge": judge.computing},
                inputs=inputs,
                libraries=(*calibrate.LIBRARIES, make_target(judge).distribution),
                data=data,
            )


def place_of(target: TargetSettings, runner: Target) -> Place:
    """Where a target's device is."""
    if target.host:
        return "ssh"
    if not is_board(target.board):
        return "elsewhere"
    if runner.compiles_ahead:
        try:
            runner.check()
        except Unusable:
            return "elsewhere"
    return "here"


def target_steps(
    recipe: Recipe,
    data: Index,
    release: str,
    name: str,
    target: TargetSettings,
    result: Path | None = None,
    measured: bool = False,
) -> Iterator[Step]:
    """All steps of one target.

    Args:
        release: name@version.
        name: the target's.
        result: what its device made of the bundle, if that was brought by hand.
        measured: whether the device gave figures before, which then still count.

    Raises:
        UnknownRuntime: no installed package offers the target's runtime.
        UnsupportedPrecision: see `variants`.
        Unusable: the runtime is to run here, and is not installed.
        DeviceError: the address of the device is none.
    """
    runner = make_target(target)
    place = place_of(target, runner)
    if place == "here":
        runtime_version(runner)
        yield from graph_steps(recipe, data, name, target, target, runner)
        yield from _compile_steps(recipe, name, target, runner, tried=True)
        yield _measure_step(recipe, data, name, target, runner)
        return
    yield from graph_steps(recipe, data, name, target, calibrate.HOST, runner)
    if runner.compiles_ahead and _compiles_here(runner):
        yield from _compile_steps(recipe, name, target, runner, tried=False)
    yield _bundle_step(recipe, data, release, name, target, runner)
    if target.host:
        read_address(target.host)
    if place == "ssh" or result or measured:
        yield _device_step(recipe, data, name, target, runner, result)


def _compiles_here(runner: Target) -> bool:
    try:
        runner.check_compiler()
    except Unusable:
        return False
    return True


def _compile_steps(recipe: Recipe, name: str, target: TargetSettings, runner: Target, tried: bool) -> Iterator[Step]:
    ships = may_ship(recipe, target, runner)
    for subject, precision in variants(recipe, target, runner):
        yield Step(
            f"compile/{subject}/{precision}/{name}",
            _tolerant(compile.compile_graph, target, subject, precision, ships),
            compile.VERSION,
            {"input": recipe.input, "target": target.computing, "batches": recipe.measure.batches, "tried": tried},
            inputs={"graph": graph_name(subject, precision, name)},
            libraries=(runner.distribution,),
        )


def _references(recipe: Recipe, target: TargetSettings, runner: Target) -> dict[str, str]:
    subjects = dict.fromkeys(subject for subject, _ in variants(recipe, target, runner))
    return {f"reference/{subject}": f"reference/{subject}" for subject in subjects}


def _measure_step(recipe: Recipe, data: Index, name: str, target: TargetSettings, runner: Target) -> Step:
    compiled = {
        f"{subject}/{precision}": f"compile/{subject}/{precision}/{name}"
        for subject, precision in variants(recipe, target, runner)
    }
    return Step(
        f"measure/{name}",
        measure.measure_target,
        measure.VERSION,
        {
            "input": recipe.input,
            "target": target.computing,
            "settings": recipe.measure,
            "precisions": may_ship(recipe, target, runner),
            "max_map_drop_points": recipe.calibrate.max_map_drop_points,
        },
        inputs={**compiled, **_references(recipe, target, runner)},
        libraries=(*measure.LIBRARIES, runner.distribution),
        data=data,
        place=this_device(),
    )


def _bundle_step(recipe: Recipe, data: Index, release: str, name: str, target: TargetSettings, runner: Target) -> Step:
    graphs = {
        f"{subject}/{precision}": graph_name(subject, precision, name)
        for subject, precision in variants(recipe, target, runner)
    }
    return Step(
        f"bundle/{name}",
        bundle.write_bundle,
        bundle.VERSION,
        {
            "input": recipe.input,
            "release": release,
            "name": name,
            "target": replace(target.computing, board=target.board),
            "code": bundle.code_digest(target.runtime),
            "settings": recipe.measure,
            "precisions": may_ship(recipe, target, runner),
        },
        inputs={**graphs, "reference/student": "reference/student"},
        libraries=bundle.LIBRARIES,
        data=data,
    )


def _device_step(
    recipe: Recipe, data: Index, name: str, target: TargetSettings, runner: Target, result: Path | None
) -> Step:
    return Step(
        f"device/{name}",
        partial(device.measure_on_device, python=target.python),
        device.VERSION,
        {
            "host": None if result else target.host,  # another address may be another board
            "settings": recipe.measure,
            "precisions": may_ship(recipe, target, runner),
            "max_map_drop_points": recipe.calibrate.max_map_drop_points,
        },
        inputs={"bundle": f"bundle/{name}", **_references(recipe, target, runner)},
        files={"result": result},
        libraries=device.LIBRARIES,
        data=data,
    )


def check_targets(plan: Sequence[Planned], targets: Mapping[str, TargetSettings]) -> None:
    """Find out before hours of training whether the devices of the steps to run are usable.

    Raises:
        Unusable: one that is here is not.
        DeviceError: one over ssh is not reached, or lacks Python, numpy or the runtime.
    """
    for stage, _, name in (planned.step.name.partition("/") for planned in plan if not planned.hit):
        if stage == "measure":
            make_target(targets[name]).check()
        if stage == "device" and (host := targets[name].host):
            runner = make_target(targets[name])
            check_device(host, targets[name].python, runner.distribution)


def check_calibration(plan: Sequence[Planned], recipe: Recipe, data: Index) -> None:
    """Find out before hours of training whether there are enough images to calibrate on.

    Raises:
        TooFewImages: there are not.
    """
    steps = [planned.step for planned in plan if not planned.hit]
    if any(step.stage == "calibrate" and "/int8/" in step.name for step in steps):
        recipe.calibrate.check(data)
