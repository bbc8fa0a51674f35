"""Networks of several widths with random weights: as graphs, in a bundle, and their times on a target."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from pipeline.data.images import Input
from pipeline.engine.step import key_of
from pipeline.engine.work import Work
from pipeline.networks.factory import Network
from pipeline.networks.sites import Which
from pipeline.settings import Settings
from pipeline.stages.bundle import device_code
from targets.bundles.archive import read_list, write_archive
from targets.bundles.contents import BUNDLE_LIST, MAIN, RESULT_LIST
from targets.bundles.packed import pack
from targets.bundles.widths import GRAPH_NAME, KIND, WidthFigures, time_widths
from targets.contract import (
    Job,
    Runtime,
    Target,
    describe_runtime,
    find_runtime,
    is_portable,
    make_target,
    needs_of,
    thread_count,
)
from targets.errors import BadBundle, first_line
from targets.machine.device import Device, this_device
from targets.measuring.conditions import Conditions
from targets.settings import Precision, TargetSettings

if TYPE_CHECKING:
    from pipeline.method.widths import Kept, Narrowing
    from pipeline.networks.site import Site

LIBRARIES = ("torch", "timm", "onnx", "onnxscript", "onnxsim", "onnxruntime")
CALLS, MAX_SECONDS = 120, 4.0  # timed calls per network, and their limit
OPSET = 18
INT8_IMAGES = 4  # random images: ranges do not affect times
TILE = 1024  # weights repeat after this many numbers, so that bundles compress well


class WidthTimings(Settings):
    """Figures of networks that were timed in one run."""

    device: Device
    runtime: Runtime
    threads: int
    conditions: Conditions
    rows: list[WidthFigures] = Field(min_length=1)


def dense_network(
    network: Network, input: Input, sites: Which, layers: Path | None = None
) -> tuple[Narrowing, list[Site]]:
    """The student with random weights, prepared for narrowing, and its sites.

    Args:
        layers: description of a release's network, if the student starts with its widths.

    Raises:
        PipelineError: it has no sites.
    """
    import torch

    from pipeline.method.widths import Narrowing, enliven
    from pipeline.networks.released import structure
    from pipeline.networks.sites import find_sites

    torch.manual_seed(0)
    embedder = enliven(structure(network, input, layers))
    found = find_sites(embedder, sites)
    return Narrowing(embedder, found), found


def _tile_weights(path: Path) -> None:
    """Repeat the first numbers of large weights: times are unchanged, and archives compress them."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.size > TILE and values.dtype.kind in "fi":
            tiled = np.resize(values.reshape(-1)[:TILE], values.shape)
            weight.CopyFrom(numpy_helper.from_array(tiled, weight.name))
    onnx.save(model, path)


def write_graphs(
    work: Work,
    folder: Path,
    narrowing: Narrowing,
    configurations: Sequence[Kept],
    target: TargetSettings,
    precision: Precision,
) -> dict[str, Path]:
    """Write a graph of each network as deployed, by number. Existing ones in `folder` are kept."""
    import numpy as np

    from calibration.quantize import Quantizer, write_half
    from pipeline.stages.export import deployed, write_graph

    folder.mkdir(parents=True, exist_ok=True)
    graphs = {}
    with work.progress.bar("networks of several widths", len(configurations)) as bar:
        for number, kept in enumerate(configurations):
            path = folder / f"{key_of(kept)}.onnx"
            if not path.exists():
                network = narrowing.of(kept)
                shape = (INT8_IMAGES, network.size.height, network.size.width, 3)
                images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
                write_graph(deployed(network), images, OPSET, fresh := folder / "float.onnx")
                _tile_weights(fresh)
                made = folder / "made.onnx"
                match precision:
                    case "fp32":
                        fresh.rename(made)
                    case "fp16":
                        write_half(fresh, made)
                    case "int8":
                        Quantizer(fresh, images, make_target(target).activations, folder).write(made)
                made.rename(path)
            graphs[str(number)] = path
            bar.advance()
    return graphs


def time_here(work: Work, graphs: Mapping[str, Path], input: Input, target: TargetSettings, batch: int) -> WidthTimings:
    """Time graphs on this machine.

    Raises:
        ArtifactFailed: the runtime refuses one.
    """
    runner, scratch = make_target(target), work.scratch / "artifacts"
    job = Job(input.height, input.width, (batch,))  # without a cache, which would never be used again
    rows, conditions = time_widths(runner, graphs, scratch, job, CALLS, MAX_SECONDS, work.progress.say)
    shutil.rmtree(scratch)
    if conditions.disturbed:
        work.progress.say(f"predictions from these times are unreliable: {conditions.disturbed}")
    return WidthTimings(
        device=this_device(),
        runtime=describe_runtime(runner, target),
        threads=thread_count(target),
        conditions=conditions,
        rows=rows,
    )


def write_widths_bundle(
    path: Path, graphs: Mapping[str, Path], input: Input, release: str, name: str, target: TargetSettings, batch: int
) -> None:
    """Write an archive with graphs, or the artifacts of a portable target, and the code that times them
    (`targets.bundles.widths`).

    Raises:
        ArtifactFailed: the runtime refuses a graph.
        Unusable: what the target converts with is not installed.
    """
    if is_portable(runner := make_target(target)):
        graphs = _compiled_graphs(runner, graphs, path.parent, Job(input.height, input.width, (batch,)))
    entry = find_runtime(target.runtime)
    about: dict[str, Any] = {
        "kind": KIND,
        "release": release,
        "target": name,
        "settings": asdict(target),
        "entry": f"{entry.module}:{entry.attr}",
        "height": input.height,
        "width": input.width,
        "batch": batch,
        "calls": CALLS,
        "max_seconds": MAX_SECONDS,
        "graphs": [*graphs],
    }
    if needs := needs_of(make_target(target)):
        about["needs"] = needs
    files: dict[str, Path | bytes] = {"__main__.py": MAIN.encode(), **device_code(target.runtime)}
    files |= {GRAPH_NAME.format(number): graph for number, graph in graphs.items()}
    write_archive(path, BUNDLE_LIST, about, files)


def _compiled_graphs(runner: Target, graphs: Mapping[str, Path], folder: Path, job: Job) -> dict[str, Path]:
    """Artifacts of graphs, each packed beside its graph."""
    packed = {}
    for number, graph in graphs.items():
        packed[number] = graph.with_suffix(".artifact")
        with TemporaryDirectory(dir=folder, prefix=".compiling-") as scratch:
            runner.compile(graph, Path(scratch), job)
            pack(Path(scratch), packed[number])
    return packed


def read_result(result: Path, archive: Path) -> WidthTimings:
    """Read a device's result for the networks of a bundle.

    Raises:
        BadBundle: it is damaged, or belongs to another bundle.
    """
    about, asked = read_list(result, RESULT_LIST), read_list(archive, BUNDLE_LIST)
    if about.get("bundle") != asked["key"]:
        raise BadBundle(
            f"{result.name} is the result of another bundle of {about.get('release')}. Run {archive.name} of this "
            "build on the device, and copy its result back."
        )
    try:
        told = WidthTimings.model_validate({name: about.get(name) for name in WidthTimings.model_fields})
        if [row.name for row in told.rows] != asked["graphs"]:
            raise ValueError("its networks are not the bundle's")
        if any(min(row.low_ms, row.p50_ms, row.mean_ms) <= 0 for row in told.rows):
            raise ValueError("its times are not valid")
    except (ValidationError, ValueError) as error:
        reason = first_line(error)
        raise BadBundle(f"{result.name} is not a valid result of a bundle ({reason}). Run the bundle again.") from None
    return told


def time_over_ssh(work: Work, archive: Path, host: str, python: str) -> WidthTimings:
    """Run a bundle on a device.

    Raises:
        DeviceError: it was not reached, or failed.
    """
    from targets.ssh import run_on_device

    result = work.scratch / "result"
    run_on_device(host, python, archive, result, work.progress)
    return read_result(result, archive)
