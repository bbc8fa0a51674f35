"""`zoo data`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from zoo.cli.completion import dataset
from zoo.cli.options import DATA_ROOT, scripted

if TYPE_CHECKING:
    from zoo.cli.shapes.data import DataOverview, PairsFigures, SizeFigures
    from zoo.data.overview import Overview


def overview_json(overview: Overview, sheet: Path | None) -> DataOverview:
    """An overview, for scripts."""
    from zoo.cli.output import splits_json

    return {
        "name": overview.name,
        "folder": str(overview.found.root.absolute()),
        "license": overview.dataset.license,
        "splits": splits_json(overview.accounts),
        "images_per_identity": {
            split: {str(images): identities for images, identities in counted.items()}
            for split, counted in overview.images_per_identity.items()
        },
        "images_per_camera": {split: dict(counted) for split, counted in overview.images_per_camera.items()},
        "alone": {split: list(paths) for split, paths in overview.alone.items()},
        "width": cast("SizeFigures", asdict(overview.width)),
        "height": cast("SizeFigures", asdict(overview.height)),
        "sizes": overview.sizes,
        "exact": cast("PairsFigures", asdict(overview.exact)),
        "near": cast("PairsFigures", asdict(overview.near)),
        "refused": list(overview.refused),
        "sheet": str(sheet) if sheet else None,
    }


@click.command(short_help="Inspect a data set: counts, duplicates, problems.")
@click.argument("name", shell_complete=dataset)
@DATA_ROOT
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw images of some identities to this .png or .jpg, one row each.",
)
@click.option(
    "--identities", type=click.IntRange(1, 40), default=8, show_default=True, help="Number of identities on the sheet."
)
@scripted
def data(name: str, data_root: Path, sheet: Path | None, identities: int, as_json: bool) -> None:
    """Inspect data set NAME, or the one of model NAME, before training.

    Shows used and unused files of each split, images per identity and camera, image sizes, duplicate files, near
    duplicates, and what zoo build would refuse. The sheet shows at a glance whether the pattern groups images
    correctly.
    """
    from zoo.catalogue import load_catalogue
    from zoo.cli.output import console
    from zoo.cli.script import print_json, reporter
    from zoo.data.identities import draw_identities, some_identities
    from zoo.data.overview import look, named_dataset
    from zoo.data.words import camera_rows, identity_rows, lines, more_lines
    from zoo.home import Home
    from zoo.sanitize import one_line, printable
    from zoo.tables import table
    from zoo.use.sheet import check_sheet, write_sheet

    if sheet:
        check_sheet(sheet, ())
    catalogue = load_catalogue()
    overview = look(catalogue, Home.find(), named_dataset(catalogue, name), data_root, reporter())
    if sheet:
        check_sheet(sheet, (overview.found.root / path for path in overview.found.paths))
        rows = some_identities(overview.found, identities)
        title = f"{overview.name}: {len(rows)} identities, from the most images to the fewest"
        write_sheet(sheet, draw_identities(rows, title))
    if as_json:
        print_json(overview_json(overview, sheet))
        return
    for line in lines(overview):
        click.echo(one_line(line))
    out = console()
    for cells in (identity_rows(overview), camera_rows(overview)):
        if cells:
            out.print(table(cells, tuple(cells[0])))
    for line in more_lines(overview):
        click.echo(printable(line))
    if sheet:
        click.echo(f"sheet: {sheet}")
