"""`zoo samples`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.options import JSON


@click.command(short_help="Write sample pictures to try a model on.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("samples"))
@JSON
def samples(folder: Path, as_json: bool) -> None:
    """Write 60 drawn pictures of 12 vehicles to FOLDER (default: samples).

    `query` has one picture of each vehicle, and `gallery` has four by other cameras. No model was trained on them.
    """
    from zoo.cli.script import print_json
    from zoo.samples import write_samples

    written = write_samples(folder)
    if as_json:
        print_json({"folder": str(folder), "pictures": [str(path) for path in written]})
        return
    click.echo(f"samples: {len(written)} pictures in {folder}\nTry: zoo query {written[0]} --gallery {folder}/gallery")
