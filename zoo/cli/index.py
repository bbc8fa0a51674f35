"""`zoo index`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.options import scripted
from zoo.cli.use import FILE, MODEL, PATH, TARGET

PERCENT = 100


@click.command(short_help="Make an index of a gallery, to search very many images.")
@click.argument("gallery", type=PATH)
@click.option("--out", "-o", type=FILE, required=True, help="File to write.")
@MODEL
@TARGET
@click.option(
    "--recall",
    type=click.FloatRange(0, PERCENT),
    default=99.0,
    show_default=True,
    help="Queries whose nearest image must be found, %; more takes longer to search.",
)
@scripted
def index(gallery: Path, out: Path, model: str | None, target: str | None, recall: float, as_json: bool) -> None:
    """Make an index of GALLERY, a file of zoo embed or a folder of images, which is embedded first.

    zoo query --index searches it: of the lists into which faiss divides the images, only the few nearest to the query.
    How often the nearest image is found is measured on images of the gallery, and printed. Similarities are exact.
    """
    from targets.settings import EMBED_BATCH
    from zoo.cli.script import print_json, reporter
    from zoo.cli.use import gallery_json, loader, skipped
    from zoo.home import Home
    from zoo.loading import release_to_use
    from zoo.output_file import check_writable
    from zoo.use.gallery import check_exists, embed_folder, find_images, read_gallery
    from zoo.use.index_build import build_index, check_installed

    check_exists(gallery)
    if not gallery.is_dir() and (model or target):
        raise click.UsageError("--model and --target are for a folder: a file has its own model.")
    check_installed()
    check_writable(out)
    if out.exists() and out.samefile(gallery):
        raise click.UsageError("the index would replace its gallery: give it another name.")
    runtime = ""
    if gallery.is_dir():
        find_images(gallery)  # an unreadable folder is reported before a model is loaded
        embedder = loader(reporter())(model or release_to_use(Home.find()), target)
        made, runtime = embed_folder(embedder, gallery, EMBED_BATCH, reporter()), embedder.runtime
    else:
        made = read_gallery(gallery)
    about, lists = build_index(out, made, recall / PERCENT, reporter())
    size = out.stat().st_size
    if as_json:
        figures = {"recall": about.recall, "recall_queries": about.queries}
        where = {"file": str(out), "size_bytes": size, "lists": lists, "searched": about.probe}
        print_json({**gallery_json(made, runtime), **where, **figures})
        return
    compared = f"a query searches {about.probe} of them; recall@1 {about.recall:.1f} % of {about.queries} images"
    if about.probe == lists:
        compared = "a query compares all of them: recall@1 100 %"
    click.echo(
        f"indexed: {made.count} images{skipped(made)}, {made.dimension} dimensions, by {made.model} ({made.target}, "
        f"{made.precision}), in {lists} {'list' if lists == 1 else 'lists'}\n"
        f"{compared}\n"
        f"index: {out}, {size / 1e6:.1f} MB"
    )
