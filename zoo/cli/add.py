"""`zoo add`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.completion import dataset as datasets
from zoo.cli.options import DATA_ROOT, HOST, PLAN, PRECISION, SET, TARGETS, check_host, scripted, with_precision

if TYPE_CHECKING:
    from zoo.building.add import AddRequest


def _size(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """HEIGHTxWIDTH in pixels."""
    if value is None:
        return None
    parts = value.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is no size. Write height x width in pixels, as in 256x128.")
    return int(parts[0]), int(parts[1])


def _three(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[float, float, float] | None:
    """Three numbers with commas, or one for all."""
    if value is None:
        return None
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not all(abs(number) < 1e6 for number in numbers):
        raise click.BadParameter(f"{value!r} is not three numbers. Write them with commas, as in 0.485,0.456,0.406.")
    return numbers[0], numbers[1], numbers[2]


@click.command(short_help="Make a release of a network that zoo did not train, from ONNX.")
@click.argument("name")
@click.option("--onnx", "file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The network.")
@click.option(
    "--data",
    "--dataset",
    "dataset",
    required=True,
    metavar="DATASET",
    shell_complete=datasets,
    help="Calibrate and test on this data set of the catalogue.",
)
@click.option(
    "--license",
    "license_",
    required=True,
    metavar="SPDX",
    help="License of the network, as an SPDX expression: MIT, Apache-2.0, LicenseRef-NAME.",
)
@click.option("--size", callback=_size, metavar="HxW", help="Height and width of images, if the graph does not tell.")
@click.option(
    "--mean", callback=_three, metavar="A,B,C", help="Mean of each channel, in the order and units of the network."
)
@click.option("--std", callback=_three, metavar="A,B,C", help="Deviation of each channel, likewise.")
@click.option(
    "--range",
    "range_",
    type=click.Choice(["1", "255"]),
    help="Largest value of a pixel before mean and deviation apply.  [default: 1]",
)
@click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Order of the axes, if the graph does not tell.")
@click.option("--channels", type=click.Choice(["rgb", "bgr"]), help="Order of the colour channels.  [default: rgb]")
@click.option("--output", metavar="VALUE", help="The embedding, if the graph has several outputs; also an inner value.")
@click.option("--source", default="", metavar="TEXT", help="Where the file comes from, such as its address.")
@click.option("--trained-on", default="", metavar="TEXT", help="What it was trained on.")
@click.option("--data-license", default="not stated", metavar="TEXT", help="License of what it was trained on.")
@click.option("--description", default="", metavar="TEXT", help="What the network is, for lists and tables.")
@TARGETS("Compile and measure for this target; repeatable. Default: those of the catalogue's default model.")
@DATA_ROOT
@SET("Change a setting: calibrate.images=64.")
@PRECISION
@HOST
@PLAN
@scripted
def add(
    data_root: Path, overrides: tuple[str, ...], precision: str | None, plan_only: bool, as_json: bool, **options: Any
) -> None:
    """Make release NAME of a network that zoo did not train.

    FILE is its graph in ONNX, in float32, with one input of images and one embedding as output. What the graph does not
    say about its input has to be given. The release has the graph with zoo's own input (uint8, N×H×W×3 RGB), for each
    target the fastest of fp32, fp16 and int8 that passes the accuracy gate, and figures measured like those of other
    releases. Results of earlier runs are reused.
    """
    check_host(options["host"], options["targets"])
    from pipeline.data.account import account_lines
    from pipeline.engine.processes import Processes
    from zoo.building.add import prepare_foreign
    from zoo.building.build import check_recipe, run
    from zoo.catalogue import load_catalogue
    from zoo.cli.output import plan_json, print_plan, print_release, release_json
    from zoo.cli.script import print_json, reporter
    from zoo.home import Home
    from zoo.release.local import read_release
    from zoo.sanitize import one_line

    overrides = with_precision(overrides, precision)
    progress = reporter()
    prepared = prepare_foreign(load_catalogue(), Home.find(), _request(overrides, **options), data_root, progress)
    lines = account_lines(prepared.data.accounts)
    if plan_only:
        check_recipe(prepared)
        if as_json:
            print_json(plan_json(prepared.plan, prepared.recipe.dataset, prepared.data, None))
            return
        print_plan(prepared.plan)
        for line in lines:
            click.echo(one_line(line))
        return
    for line in lines:
        progress.say(one_line(line))
    release = read_release(run(prepared, Processes("cpu"), progress))
    if as_json:
        print_json(release_json(release))
    else:
        print_release(release, prepared.home.bundles)


def _request(overrides: tuple[str, ...], **options: Any) -> AddRequest:
    from pipeline.foreign.describing import Asked
    from zoo.building.add import AddRequest

    said = {"layout": "layout", "channels": "channels"}
    upper = {key: options[name] and options[name].upper() for key, name in said.items()}
    asked = Asked(
        size=options["size"],
        mean=options["mean"],
        std=options["std"],
        range=options["range_"],
        output=options["output"],
        **upper,
    )
    return AddRequest(
        name=options["name"],
        file=options["file"],
        dataset=options["dataset"],
        license=options["license_"],
        asked=asked,
        words=_words(**options),
        overrides=overrides,
        **{key: options[key] for key in ("source", "trained_on", "data_license", "description", "targets", "host")},
    )


def _numbers(values: Iterable[float]) -> str:
    """Numbers with commas, in all digits, so that the same values are read again."""
    return ",".join(repr(value).removesuffix(".0") for value in values)


def _words(**options: Any) -> tuple[str, ...]:
    """Options that repeat the command; of the file only the name is kept."""
    size = options["size"]
    told = {
        "--onnx": options["file"].name,
        "--data": options["dataset"],
        "--license": options["license_"],
        "--size": size and "x".join(map(str, size)),
        "--mean": options["mean"] and _numbers(options["mean"]),
        "--std": options["std"] and _numbers(options["std"]),
        "--range": options["range_"],
        "--layout": options["layout"],
        "--channels": options["channels"],
        "--output": options["output"],
        "--source": options["source"],
        "--trained-on": options["trained_on"],
        "--data-license": options["data_license"] if options["data_license"] != "not stated" else None,
        "--description": options["description"],
    }
    return tuple(word for option, value in told.items() if value for word in (option, value))
