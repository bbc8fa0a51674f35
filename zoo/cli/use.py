"""`zoo embed`, `zoo query`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from targets.settings import EMBED_BATCH
from zoo.cli.completion import release, target_or_runtime
from zoo.cli.options import scripted

if TYPE_CHECKING:
    from pipeline.progress import Progress
    from zoo.cli.shapes.use import Answered, Embedded
    from zoo.use.embedder import Embedder
    from zoo.use.origin import Origin
    from zoo.use.query import Answer, Loader

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
TOLD = 5  # images that are named in a message
MODEL = click.option(
    "--model",
    "-m",
    metavar="NAME",
    shell_complete=release,
    help="Release NAME or NAME@VERSION; one that comes with zoo is pulled if it is not here. Default: the only one "
    "here, or the catalogue's default.",
)
TARGET = click.option(
    "--target",
    "-t",
    metavar="TARGET",
    shell_complete=target_or_runtime,
    help="Target of the release to run; or openvino or onnxruntime, for its fp32 graph. Default: the fastest.",
)


def loader(progress: Progress) -> Loader:
    """Loads a release; one that comes with zoo and is not here is pulled first, with a line."""
    from zoo.home import Home
    from zoo.loading import provide
    from zoo.use.embedder import load

    def loaded(name: str, target: str | None) -> Embedder:
        provide(Home.find(), name, target, progress)
        return load(name, target)

    return loaded


def gallery_json(gallery: Origin, runtime: str) -> Embedded:
    """A gallery, for scripts."""
    return {
        "model": gallery.model,
        "target": gallery.target,
        "precision": gallery.precision,
        "runtime": runtime,
        "folder": str(gallery.folder),
        "images": gallery.count,
        "dimension": gallery.dimension,
        "skipped": [{"path": one.path, "why": one.why} for one in gallery.skipped],
    }


def answer_json(query: Path, answer: Answer, sheet: Path) -> Answered:
    """An answer, for scripts."""
    return {
        "query": str(query),
        "gallery": gallery_json(answer.gallery, answer.embedder.runtime),
        "nearest": [
            {"rank": rank, "similarity": round(one.similarity, 6), "path": one.name}
            for rank, one in enumerate(answer.nearest, 1)
        ],
        "sheet": str(sheet),
        "checked": answer.checked,
        "stale": [{"path": one.path, "why": one.why} for one in answer.stale],
        "recall": answer.recall,
    }


def _stale(answer: Answer, command: str, where: Path) -> str:
    """Images of the gallery that changed, in a line; empty if none did.

    Args:
        command: that made the file `where`: embed or index.
    """
    folder = answer.gallery.folder
    if not answer.checked:
        return f"{folder} is not here: images that changed since embedding can't be detected"
    if not answer.stale:
        return ""
    few = ", ".join(f"{one.path} ({one.why})" for one in answer.stale[:TOLD])
    more = f", and {len(answer.stale) - TOLD} more" if len(answer.stale) > TOLD else ""
    again = f"{command.capitalize()} again: zoo {command} {folder} -o {where}"
    return f"left out, changed since embedding: {few}{more}. {again}"


def skipped(gallery: Origin) -> str:
    return f", {len(gallery.skipped)} skipped" if gallery.skipped else ""


@click.command(short_help="Embed all images of a folder to one file.")
@click.argument("folder", type=PATH)
@click.option("--out", "-o", type=FILE, required=True, help="File to write, .npz.")
@MODEL
@TARGET
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=EMBED_BATCH,
    show_default=True,
    help="Images per call.",
)
@scripted
def embed(folder: Path, out: Path, model: str | None, target: str | None, batch: int, as_json: bool) -> None:
    """Embed all images below FOLDER, and write paths and embeddings to one file.

    The file is a numpy archive without pickle: `paths` (below FOLDER) and `embeddings` (float32, N×D, rows of length
    1), with size, time and sha256 of each image, and the model. `zoo query` takes it as a gallery. Images that can't be
    read are skipped with a line each.
    """
    from zoo.cli.script import print_json, reporter
    from zoo.home import Home
    from zoo.loading import release_to_use
    from zoo.output_file import check_writable
    from zoo.use.gallery import embed_folder, find_images, write_gallery

    check_writable(out)
    find_images(folder)  # an unreadable folder is reported before a model is loaded
    embedder = loader(reporter())(model or release_to_use(Home.find()), target)
    gallery = embed_folder(embedder, folder, batch, reporter())
    write_gallery(out, gallery)
    if as_json:
        print_json({**gallery_json(gallery, embedder.runtime), "file": str(out)})
        return
    rows, columns = gallery.embeddings.shape
    click.echo(
        f"embedded: {rows} images{skipped(gallery)}, {columns} dimensions, by {gallery.model} ({gallery.target}, "
        f"{gallery.precision})\ngallery: {out}"
    )


@click.command(short_help="Find and draw the images nearest to a query.")
@click.argument("image", type=FILE)
@click.option("--gallery", "-g", "where", type=PATH, help="Folder of images, or a file of zoo embed.")
@click.option("--index", "-i", "index", type=FILE, help="File of zoo index, for very many images.")
@MODEL
@TARGET
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Number of images.")
@click.option("--sheet", type=FILE, help="Sheet to draw, .png or .jpg. Default: IMAGE's name with .sheet.png, here.")
@click.option("--open", "opens", is_flag=True, help="Open the contact sheet.")
@scripted
def query(
    image: Path,
    where: Path | None,
    index: Path | None,
    model: str | None,
    target: str | None,
    top: int,
    sheet: Path | None,
    opens: bool,
    as_json: bool,
) -> None:
    """Find the images of a gallery or an index that are nearest to IMAGE; print them and draw them on a contact sheet.

    A gallery file or an index is searched with the model and target that embedded it. Images that changed or are gone
    since then are listed and left out; of an index, only images near the query are looked at.
    """
    from zoo.cli.output import console
    from zoo.cli.script import print_json, reporter
    from zoo.home import Home
    from zoo.loading import release_to_use
    from zoo.sanitize import one_line
    from zoo.tables import table
    from zoo.use.query import find_in_index, find_nearest
    from zoo.use.sheet import MOST, check_sheet, draw_sheet, write_sheet

    sheet = sheet or Path(f"{image.stem}.sheet.png")
    searched = where or index
    if searched is None or (where and index):
        raise click.UsageError("name what to search: either --gallery or --index.")
    check_sheet(sheet, (image, searched))
    if searched.is_dir():  # a file names its own
        model = model or release_to_use(Home.find())
    if where:
        answer = find_nearest(image, where, top, model, target, reporter(), loader(reporter()))
    else:
        answer = find_in_index(image, searched, top, model, target, loader(reporter()))
    gallery = answer.gallery
    how = f"by {gallery.model} ({gallery.target}, {gallery.precision})"
    shown = min(len(answer.nearest), MOST)
    write_sheet(sheet, draw_sheet(image, answer.nearest, f"{shown} nearest of {gallery.count} {how}"))
    if told := _stale(answer, "embed" if where else "index", searched):
        click.echo(one_line(told), err=True)
    if as_json:
        print_json(answer_json(image, answer, sheet))
    else:
        rows = [
            {"rank": rank, "similarity": f"{one.similarity:.3f}", "path": one_line(one.name)}
            for rank, one in enumerate(answer.nearest, 1)
        ]
        where_from = one_line(str(gallery.folder))
        console().print(table(rows, ("rank", "similarity", "path")))
        click.echo(f"cosine {how}; {gallery.count} images{skipped(gallery)} below {where_from}")
        if answer.recall is not None:
            click.echo(f"approximate: the nearest image of {answer.recall:.1f} % of queries was found (zoo index)")
        click.echo(f"sheet: {sheet}")
    if opens and click.launch(str(sheet)):
        click.echo("No program on this machine opens it.", err=True)
