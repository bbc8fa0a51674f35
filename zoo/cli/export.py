"""`zoo export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from targets.settings import PRECISIONS, Precision
from zoo.cli.completion import release
from zoo.cli.options import DATA_ROOT, scripted

CONSUMERS = ("deepstream", "triton", "ovms", "boxmot", "ultralytics", "onnx")
BACKENDS = ("onnxruntime", "openvino", "tensorrt")


def _three(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        first, second, third = map(float, value.split(","))
    except ValueError:
        raise click.BadParameter("three numbers with commas, for R, G and B, as in 0.485,0.456,0.406") from None
    return first, second, third


@click.command(short_help="Write a release for DeepStream, Triton, OpenVINO servers or trackers.")
@click.argument("name", shell_complete=release)
@click.option(
    "--for", "consumer", type=click.Choice(CONSUMERS), required=True, help="Program that will run it; onnx: any other."
)
@click.option("--out", "-o", type=click.Path(path_type=Path), required=True, help="New folder to write.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="Of the graph.")
@click.option("--layout", type=click.Choice(("nhwc", "nchw")), help="N×H×W×3 or N×3×H×W.")
@click.option("--dtype", type=click.Choice(("uint8", "float32")), help="Type of the input.")
@click.option(
    "--range",
    type=click.Choice(("255", "1", "normalised")),
    help="What the program gives: pixels 0 … 255, pixels / 255, or (pixels / 255 - mean) / std.",
)
@click.option("--colors", type=click.Choice(("rgb", "bgr")), help="Order of the channels.")
@click.option("--mean", metavar="R,G,B", callback=_three, help="For --range normalised. Default: the release's own.")
@click.option("--std", metavar="R,G,B", callback=_three, help="For --range normalised. Default: the release's own.")
@click.option("--batch", type=click.IntRange(min=1), help="The only batch size. Default: any.")
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    help="Largest batch in the configuration, for deepstream (default: 100) and triton (default: 32).",
)
@click.option("--backend", type=click.Choice(BACKENDS), help="Of Triton. Default: onnxruntime.")
@DATA_ROOT
@scripted
def export(
    name: str,
    consumer: str,
    out: Path,
    precision: Precision,
    max_batch: int | None,
    backend: Any,
    data_root: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Write release NAME or NAME@VERSION for a program that feeds networks in its own way: its graph behind that input,
    with the same weights and its own preprocessing, and what the program needs beside it.

    Before anything is written, the golden input of the release goes through the view, prepared as the program does; the
    embedding has to be that of the release (cosine 0.9999). view.json says what was made from what.

    A release that comes with zoo is pulled if it is not here. triton, ovms and onnx take all options of the input,
    boxmot and ultralytics only --batch, deepstream none.

    int8 that the release does not ship is made again from the training images of its calibration, if they are below
    --data-root.
    """
    from zoo.cli.script import print_json, reporter
    from zoo.data.folder import find_folder
    from zoo.errors import NotPulled
    from zoo.home import Home
    from zoo.loading import complete, provide
    from zoo.output_folder import check_new_folder
    from zoo.release.local import find_release
    from zoo.views.consumers import find_consumer
    from zoo.views.export import Wanted, export_release

    check_new_folder(out)
    home = Home.find()
    provide(home, name, None, reporter())
    wanted = Wanted(consumer, precision, backend, max_batch, options)

    def folder_of(data: str) -> Path:
        return find_folder(home, data, data_root, reporter())

    release = find_release(home, name)
    try:
        record = export_release(release, home, wanted, out, folder_of)
    except NotPulled as error:
        if not complete(home, release, error.target, reporter()):
            raise
        record = export_release(find_release(home, name), home, wanted, out, folder_of)
    if warning := find_consumer(consumer, backend, None).warning(record.origin.weight_bits):
        click.echo(warning, err=True)
    if as_json:
        print_json({"folder": str(out), "view": record.model_dump(mode="json")})
        return
    entry, left = record.input, record.output
    click.echo(f"{record.origin.release} in {precision} for {consumer}: {out}")
    for file in record.files:
        click.echo(f"  {file.path}  {file.size_bytes / 1e6:.2f} MB" if file.size_bytes >= 1e5 else f"  {file.path}")
    shape = "×".join(map(str, _shape(record)))
    click.echo(f"input {entry.name}: {entry.dtype} {shape}, {entry.colors.upper()}, range {entry.range}")
    click.echo(f"output {left.name}: float32 N×{left.dimension}, rows of length 1")
    click.echo(
        f"checked with the golden input in {record.check.runtime} {record.check.runtime_version}: cosine "
        f"{record.check.cosine:.6f} to the release's graph"
    )


def _shape(record: Any) -> list[int | str]:
    entry = record.input
    inner = [entry.height, entry.width, 3] if entry.layout == "nhwc" else [3, entry.height, entry.width]
    return [entry.batch or "N", *inner]
