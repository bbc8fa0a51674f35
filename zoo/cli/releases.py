"""`zoo list`, `zoo show`."""

from __future__ import annotations

import click

from zoo.cli.completion import release as here
from zoo.cli.options import JSON


@click.command("list", short_help="List built models, and those that could be built.")
@JSON
def list_releases(as_json: bool) -> None:
    """List models: those that are built, those that the catalogue could build, and its errors."""
    from zoo.catalogue import load_catalogue
    from zoo.cli.output import console
    from zoo.cli.script import print_json
    from zoo.home import Home
    from zoo.release.local import read_all, recorded
    from zoo.tables import release_rows, table

    home, catalogue = Home.find(), load_catalogue()
    known, here = recorded(home), read_all(home)
    rows = release_rows(here.releases)
    waiting = {name: description for name, description in catalogue.buildable.items() if name not in known}
    if as_json:
        told = {"damaged": here.damaged, "older": here.older, "faulty": catalogue.faulty}
        print_json({"built": rows, "not_built": waiting, **told})
        return
    out = console()
    if rows:
        out.print(table(rows, (
            "model", "data", "map", "cmc1", "parameters", "macs", "macs_saved", "targets", "created_at",
        )))  # fmt: skip
    for name, description in waiting.items():
        out.print(f"not built: {name}: {description}" if description else f"not built: {name}", markup=False)
    for label, why in here.damaged.items():
        click.echo(f"damaged: {label}: {why}", err=True)
    if here.older:
        first, *others = here.older
        more = f" and {len(others)} more" if others else ""
        click.echo(f"older schema, which every command reads: {first}{more}. See zoo migrate --help", err=True)
    for line in dict.fromkeys(line for lines in catalogue.faulty.values() for line in lines):
        click.echo(f"faulty: {line}", err=True)


@click.command(short_help="Show a release in detail.")
@click.argument("name", shell_complete=here)
@JSON
def show(name: str, as_json: bool) -> None:
    """Show release NAME or NAME@VERSION: accuracy, compression by site, artifacts, lineage, measurements."""
    from zoo.cli.output import console, print_release, release_json
    from zoo.cli.script import print_json
    from zoo.home import Home
    from zoo.release.ancestry import ancestor_lines
    from zoo.release.local import find_release
    from zoo.sanitize import one_line
    from zoo.tables import calibration_rows, site_rows, table

    home = Home.find()
    release = find_release(home, name)
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
    accuracy = [
        {"network": label, **getattr(manifest.accuracy, key).model_dump()}
        for key, label in (("teacher", "teacher"), ("dense_student", "student, dense"), ("student", "student, pruned"))
    ]
    protocol = f"torch; {manifest.accuracy.student.protocol}; {manifest.accuracy.student.queries} queries"
    out.print(table(accuracy, ("network", "map", "cmc1", "cmc5", "cmc10", "minp"), protocol))
    if sites := site_rows(manifest):
        out.print(table(sites, sites[0]))
    if calibrations := calibration_rows(manifest):
        told = "compared with the network in torch; int8 ranges observed on training images"
        out.print(table(calibrations, calibrations[0], told))
    artifacts = [{**a.model_dump(), "sha256": a.sha256[:12], "target": a.target or ""} for a in manifest.artifacts]
    out.print(table(artifacts, ("path", "target", "precision", "size_bytes", "sha256")))
    stages = [{"stage": s.name, "key": s.key[:12], "seconds": s.seconds, "at": s.finished_at} for s in manifest.stages]
    made = manifest.provenance
    how = [made.command, *[f"git {made.git}"] * bool(made.git), f"seed {made.seed}"]
    out.print(table(stages, ("stage", "key", "seconds", "at"), "; ".join(how)))
    print_release(release, home.bundles)
