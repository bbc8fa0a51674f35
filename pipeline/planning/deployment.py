"""Steps from graphs to measurements on one target, by the location of its device.

here        calibrate ─► compile ─► measure
over ssh    calibrate ─► bundle ─► device
elsewhere   calibrate ─► bundle [─► device, once its result is here]; ─► compile, if possible without the device

A bundle carries the results of `compile` in place of graphs if they are the same for every board.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Protocol

from pipeline.data.images import Input
from pipeline.data.samples import Index
from pipeline.engine.plan import Planned
from pipeline.engine.step import Step, StepId, Variant
from pipeline.planning.training import NETWORKS
from pipeline.recipe import Shipped
from pipeline.stages import bundle, calibrate, device, measure
from pipeline.stages import compile as compilation
from pipeline.stages import unsupported as broken
from targets.contract import (
    Target,
    compiles_slowly,
    converters,
    is_portable,
    make_target,
    makers,
    precisions_of,
    revision,
    runtime_version,
    version_check,
    weight_bits,
)
from targets.errors import Unusable
from targets.machine.device import is_board, this_device
from targets.settings import PRECISIONS, Precision, TargetSettings
from targets.ssh import check_device
from targets.ssh.address import read_address

Place = Literal["here", "ssh", "elsewhere"]


class Deployed(Protocol):
    """The part of a recipe that decides what becomes of a graph, wherever the graph comes from."""

    @property
    def seed(self) -> int: ...
    @property
    def input(self) -> Input: ...
    @property
    def calibrate(self) -> calibrate.Calibrate: ...
    @property
    def precision(self) -> Shipped: ...
    @property
    def measure(self) -> measure.Measure: ...


def graph_of(variant: Variant, target: str) -> StepId:
    """The step that makes a graph; int8 is specific to a target, like its activations and its gate."""
    match variant.precision:
        case "fp32":
            return StepId("export", variant.network)
        case "fp16":
            return StepId("calibrate", *variant)
        case "int8":
            return StepId("calibrate", *variant, target)


def place_of(target: TargetSettings, runner: Target) -> Place:
    """The location of a target's device."""
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


@dataclass(frozen=True)
class TargetPlan:
    """The steps of a release on one target, and what they build.

    Args:
        release: name@version.
        name: name of the target.

    Raises:
        UnknownRuntime: no installed package provides the target's runtime.
    """

    recipe: Deployed
    data: Index
    release: str
    name: str
    target: TargetSettings

    @cached_property
    def runner(self) -> Target:
        """The target that compiles and runs there."""
        return make_target(self.target)

    @cached_property
    def place(self) -> Place:
        """The location of its device."""
        return place_of(self.target, self.runner)

    @cached_property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions of the student, one of which is kept.

        Raises:
            UnsupportedPrecision: the target does not support the recipe's precision.
        """
        wanted = self.recipe.precision
        return precisions_of(self.runner, self.target, None if wanted == "auto" else wanted)

    @cached_property
    def variants(self) -> list[Variant]:
        """The variants that are compiled, always including the student in fp32.

        Raises:
            UnsupportedPrecision: see `precisions`.
        """
        asked = {"teacher": {*self.recipe.measure.dense}, "student": {*self.precisions, "fp32"}}
        return [
            Variant(network, precision)
            for network in NETWORKS
            for precision in PRECISIONS
            if precision in asked[network] and precision in self.runner.precisions
        ]

    def steps(self, result: Path | None = None, measured: bool = False) -> Iterator[Step]:
        """All steps of the target.

        Args:
            result: the device's result of the bundle, if it was copied here.
            measured: whether the device has measured before; the figures then still count.

        Raises:
            UnsupportedPrecision: see `precisions`.
            Unusable: the runtime or its converters have to run here, and are not installed.
            DeviceError: the address of the device is not valid.
        """
        if converters(self.runner):
            self.runner.check_compiler()
        if self.place == "here":
            runtime_version(self.runner)
            yield from self._graphs(self._stand_in() if compiles_slowly(self.runner) else self.target)
            yield from self._compiled(tried=True)
            yield self._measured()
            return
        yield from self._graphs(self._stand_in())
        if is_portable(self.runner) or (self.runner.compiles_ahead and _compiles_here(self.runner)):
            yield from self._compiled(tried=False)
        yield self._bundle()
        if self.target.host:
            read_address(self.target.host)
        if self.place == "ssh" or result or measured:
            yield self._on_device(result)

    def _tolerant(self, run: Callable[..., None], runs: TargetSettings, variant: Variant) -> Callable[..., None]:
        """The function of a variant's stage. A build continues without a variant that is not available, except the
        student in fp32, the reference of all others, or the last one that may ship. This behaviour is not part of a
        step's key.

        Args:
            runs: settings of the target that runs its graphs.
        """
        needed = variant.network == "student" and (
            variant.precision == "fp32" or self.precisions == (variant.precision,)
        )
        if needed:
            return partial(broken.indispensable, run, self.name) if variant.precision == "fp32" else run
        return partial(broken.breakable, run, runs)

    def _stand_in(self) -> TargetSettings:
        """What runs int8 graphs in the target's place; those that overflow nowhere are shared with targets here."""
        return calibrate.HOST if weight_bits(self.runner) == 7 else calibrate.EXACT

    def _graphs(self, judge: TargetSettings) -> Iterator[Step]:
        """The graphs of all precisions but fp32, which `export` writes.

        Args:
            judge: settings of the target in which the cost of int8 is measured.
        """
        untimed = self.recipe.calibrate.model_copy(update={"layers": "all"})  # so that this is in no key without effect
        common = {"input": self.recipe.input, "settings": untimed}
        for variant in self.variants:
            inputs = {"graph": StepId("export", variant.network), "reference": StepId("reference", variant.network)}
            if variant.precision == "fp16":
                yield Step(
                    graph_of(variant, self.name),
                    self._tolerant(calibrate.halve_graph, calibrate.HOST, variant),
                    calibrate.VERSION,
                    common,
                    inputs=inputs,
                    libraries=calibrate.LIBRARIES,
                    data=self.data,
                )
            if variant.precision == "int8":
                how: dict[str, Any] = {"seed": self.recipe.seed, "activations": self.runner.activations}
                how["judge"] = judge.computing
                if (bits := weight_bits(self.runner)) != 8:  # so that keys of other targets stay
                    how["weight_bits"] = bits
                timed = self.recipe.calibrate.layers == "fastest" and self.place == "here" and judge == self.target
                if timed:
                    how |= {"here": True, "settings": self.recipe.calibrate}
                yield Step(
                    graph_of(variant, self.name),
                    self._tolerant(calibrate.quantize_graph, judge, variant),
                    calibrate.VERSION + revision(make_target(judge)),
                    {**common, **how},
                    inputs=inputs,
                    libraries=(*calibrate.LIBRARIES, make_target(judge).distribution),
                    data=self.data,
                    place=this_device() if timed else None,
                )

    def _compiled(self, tried: bool) -> Iterator[Step]:
        for variant in self.variants:
            yield Step(
                StepId("compile", *variant, self.name),
                self._tolerant(compilation.compile_graph, self.target, variant),
                compilation.VERSION + revision(self.runner),
                {
                    "input": self.recipe.input,
                    "target": self.target.computing,
                    "batches": self.recipe.measure.batches,
                    "tried": tried,
                },
                inputs={"graph": graph_of(variant, self.name)},
                libraries=makers(self.runner),
            )

    @property
    def _references(self) -> dict[StepId, StepId]:
        ids = [StepId("reference", variant.network) for variant in self.variants]
        return {one: one for one in ids}

    def _measured(self) -> Step:
        return Step(
            StepId("measure", target=self.name),
            measure.measure_target,
            measure.VERSION,
            {
                "input": self.recipe.input,
                "target": self.target.computing,
                "settings": self.recipe.measure,
                "precisions": self.precisions,
                "max_map_drop_points": self.recipe.calibrate.max_map_drop_points,
            },
            inputs={
                "compiled": {variant: StepId("compile", *variant, self.name) for variant in self.variants},
                "references": self._references,
            },
            libraries=(*measure.LIBRARIES, self.runner.distribution),
            data=self.data,
            place=this_device(),
        )

    def _bundle(self) -> Step:
        student = StepId("reference", "student")
        compiled = {variant: StepId("compile", *variant, self.name) for variant in self.variants}
        return Step(
            StepId("bundle", target=self.name),
            bundle.write_bundle,
            bundle.VERSION,
            {
                "input": self.recipe.input,
                "release": self.release,
                "name": self.name,
                "target": replace(self.target.computing, board=self.target.board),
                "code": bundle.code_digest(self.target.runtime),
                "settings": self.recipe.measure,
                "precisions": self.precisions,
            },
            inputs={
                "graphs": {variant: graph_of(variant, self.name) for variant in self.variants},
                "references": {student: student},
                **({"compiled": compiled} if is_portable(self.runner) else {}),
            },
            libraries=bundle.LIBRARIES,
            data=self.data,
        )

    def _on_device(self, result: Path | None) -> Step:
        return Step(
            StepId("device", target=self.name),
            partial(device.measure_on_device, python=self.target.python),
            device.VERSION,
            {
                "host": None if result else self.target.host,  # another address may be another board
                "settings": self.recipe.measure,
                "precisions": self.precisions,
                "max_map_drop_points": self.recipe.calibrate.max_map_drop_points,
            },
            inputs={"bundle": StepId("bundle", target=self.name), "references": self._references},
            files={"result": result},
            libraries=device.LIBRARIES,
            data=self.data,
        )


def _compiles_here(runner: Target) -> bool:
    try:
        runner.check_compiler()
    except Unusable:
        return False
    return True


def check_targets(plan: Sequence[Planned], targets: Mapping[str, TargetSettings]) -> None:
    """Check, before hours of training, that the devices of the steps to run are usable.

    Raises:
        Unusable: one on this machine is not.
        DeviceError: one over ssh is not reached, lacks Python, numpy or the runtime, or has another version of it.
    """
    for step in (planned.step.id for planned in plan if not planned.hit):
        if step.target is None or step.stage not in ("measure", "device"):
            continue
        settings = targets[step.target]
        if step.stage == "measure":
            make_target(settings).check()
        elif settings.host:
            runner = make_target(settings)
            check_device(settings.host, settings.python, runner.distribution, version_check(runner))


def check_calibration(plan: Sequence[Planned], recipe: Deployed, data: Index) -> None:
    """Check, before hours of training, that there are enough calibration images.

    Raises:
        TooFewImages: there are not.
    """
    steps = [planned.step.id for planned in plan if not planned.hit]
    if any(step.stage == "calibrate" and step.precision == "int8" for step in steps):
        recipe.calibrate.check(data)
