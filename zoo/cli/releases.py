"""`zoo list`, `zoo show`."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from zoo.cli.completion import release as here
from zoo.cli.options import JSON, LICENSE, LISTED_REGISTRY

if TYPE_CHECKING:
    from zoo.catalogue import Catalogue
    from zoo.home import Home
    from zoo.release.local import Release

SHIPPED = "zoo://prebuilt"
COLUMNS = ("model", "data", "map", "cmc1", "parameters", "macs", "macs_saved", "targets", "created_at")


@click.command("list", short_help="List releases that are here, those to pull, and models to build.")
@click.option("--all", "everything", is_flag=True, help="Also list models of studies, named study-….")
@LISTED_REGISTRY
@LICENSE
@JSON
def list_releases(everything: bool, url: str | None, licenses: tuple[str, ...], as_json: bool) -> None:
    """List releases that are here, those that come with zoo and can be pulled, models that the catalogue could build,
    and its errors.

    With --registry, list that registry's releases in place of those that come with zoo.
    """
    from zoo.catalogue import load_catalogue
    from zoo.cli.licensed import kept, kept_models
    from zoo.cli.output import console
    from zoo.cli.script import print_json
    from zoo.home import Home
    from zoo.release.licensing import accepted
    from zoo.release.local import read_all, recorded
    from zoo.tables import release_rows, table

    home, catalogue, allowed = Home.find(), load_catalogue(), accepted(licenses)
    known, here = recorded(home), read_all(home)
    labels = {release.manifest.label for release in here.releases} | here.damaged.keys()
    place, there, unread = _offered(catalogue, home, url, labels)
    rows, offered = release_rows(kept(here.releases, allowed)), release_rows(kept(there, allowed))
    models = catalogue.buildable(studies=everything)
    waiting = {name: description for name, description in models.items() if name not in known}
    waiting = kept_models(waiting, catalogue, allowed)
    damaged = {**here.damaged, **unread}
    if as_json:
        told = {"damaged": damaged, "older": here.older, "faulty": catalogue.faulty}
        print_json({"built": rows, "registry": place, "to_pull": offered, "not_built": waiting, **told})
        return
    out = console()
    if rows:
        out.print(table(rows, COLUMNS))
    if offered:
        where = "that come with zoo" if place == SHIPPED else f"in {place}"
        out.print(table(offered, COLUMNS, f"releases {where}, to pull: zoo pull NAME{_option(url)}"))
    for name, description in waiting.items():
        out.print(f"not built: {name}: {description}" if description else f"not built: {name}", markup=False)
    if studies := len(catalogue.buildable()) - len(models):
        click.echo(f"not listed: {studies} models of studies. See zoo list --all")
    for label, why in damaged.items():
        click.echo(f"damaged: {label}: {why}", err=True)
    if here.older:
        first, *others = here.older
        more = f" and {len(others)} more" if others else ""
        click.echo(f"older schema, which every command reads: {first}{more}. See zoo migrate --help", err=True)
    for line in dict.fromkeys(line for lines in catalogue.faulty.values() for line in lines):
        click.echo(f"faulty: {line}", err=True)


def _option(url: str | None) -> str:
    return f" --registry {url}" if url else ""


def _offered(
    catalogue: Catalogue, home: Home, url: str | None, here: Collection[str]
) -> tuple[str, list[Release], dict[str, str]]:
    """Releases that can be pulled.

    Args:
        url: the option --registry; None: what comes with zoo and is not here.
        here: name@version of the releases on this machine.

    Returns:
        The registry's address, its releases, and why others can't be read, by name@version.
    """
    from zoo.registry.listing import offered, shipped_beside
    from zoo.registry.opening import open_registry

    if url is None:
        beside = shipped_beside(home, here)
        return SHIPPED, beside.releases, beside.damaged
    registry = open_registry(catalogue.registry, home, url, False)
    found = offered(registry, lambda line: click.echo(line, err=True))
    return SHIPPED if registry.is_shipped else registry.url, found.releases, found.damaged


@click.command(short_help="Show a release in detail.")
@click.argument("name", shell_complete=here)
@JSON
def show(name: str, as_json: bool) -> None:
    """Show release NAME or NAME@VERSION: accuracy, compression by site, artifacts, lineage, measurements.

    A release that is not here and comes with zoo is shown without being pulled.
    """
    from zoo.cli.output import console, print_release, release_json
    from zoo.cli.script import print_json
    from zoo.documents.graph_metadata import read_facts
    from zoo.home import Home
    from zoo.layout import GRAPH
    from zoo.registry.listing import find_anywhere
    from zoo.release.ancestry import ancestor_lines
    from zoo.sanitize import one_line
    from zoo.tables import calibration_rows, site_rows, table

    home = Home.find()
    release, here = find_anywhere(home, name)
    if as_json:
        print_json(release_json(release))
        return
    manifest = release.manifest
    out = console()
    data = manifest.data
    gate = f"{data.gate_images} of {data.gate_identities} others" if data.gate_identities else "the test set"
    out.print(
        f"data {one_line(data.name)}: {data.train_images} training images of {data.train_identities} identities, "
        f"{gate} for the gate, "
        f"{data.query_images} queries against {data.gallery_images} images (fingerprint {data.fingerprint[:12]})",
        markup=False,
    )
    for line in ancestor_lines(manifest.ancestors):
        out.print(one_line(line), markup=False)
    labels = {"teacher": "teacher", "dense_student": "student, dense", "student": "student, pruned"}
    labels |= {"student": "not trained by zoo"} if manifest.foreign else {}
    found = {label: getattr(manifest.accuracy, key) for key, label in labels.items()}
    accuracy = [{"network": label, **one.model_dump()} for label, one in found.items() if one]
    protocol = (
        f"{manifest.reference}; {manifest.accuracy.student.protocol}; {manifest.accuracy.student.queries} queries"
    )
    out.print(table(accuracy, ("network", "map", "cmc1", "cmc5", "cmc10", "minp"), protocol))
    if sites := site_rows(manifest):
        out.print(table(sites, sites[0]))
    if calibrations := calibration_rows(manifest):
        told = f"compared with the network in {manifest.reference}; int8 ranges observed on training images"
        out.print(table(calibrations, calibrations[0], told))
    artifacts = [{**a.model_dump(), "sha256": a.sha256[:12], "target": a.target or ""} for a in manifest.artifacts]
    out.print(table(artifacts, ("path", "target", "precision", "size_bytes", "sha256")))
    graph = release.path.parent / GRAPH
    if graph.is_file() and (inside := read_facts(graph)):
        facts = [{"key": f"zoo.{key}", "value": one_line(value)} for key, value in inside.items()]
        out.print(table(facts, ("key", "value"), f"metadata in {GRAPH}, as in other ONNX files and OpenVINO's .xml"))
    stages = [{"stage": s.name, "key": s.key[:12], "seconds": s.seconds, "at": s.finished_at} for s in manifest.stages]
    made = manifest.provenance
    how = [made.command, *[f"git {made.git}"] * bool(made.git), f"seed {made.seed}"]
    out.print(table(stages, ("stage", "key", "seconds", "at"), "; ".join(how)))
    print_release(release, home.bundles)
    if not here:
        click.echo(f"its files are not here. Get them: zoo pull {manifest.label}", err=True)
