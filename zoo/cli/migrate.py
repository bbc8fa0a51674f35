"""`zoo migrate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from zoo.cli.completion import release
from zoo.cli.options import JSON

if TYPE_CHECKING:
    from zoo.release.rewrite import Rewritten


def _line(one: Rewritten, dry: bool) -> str:
    from zoo.release.migrate import SCHEMA

    match one.outcome:
        case "current":
            return f"{one.release} is of schema {one.schema}: nothing to do"
        case "published":
            return f"{one.release} is of schema {one.schema}. It stays as it was published, and is read as it is"
        case "migrated" if dry:
            return (
                f"{one.release} is of schema {one.schema}. It would be migrated to {SCHEMA}, with {one.measurements} "
                f"measurements out of its manifest, which would be kept as {one.kept}"
            )
        case "migrated":
            return (
                f"{one.release} is migrated from schema {one.schema} to {SCHEMA}, with {one.measurements} measurements "
                f"out of its manifest, which is kept as {one.kept}"
            )


def _notes(done: Sequence[Rewritten]) -> Iterator[str]:
    """What is to be known of releases that were migrated."""
    if unknown := dict.fromkeys(line for one in done for line in one.unknown):
        yield f"What the older manifests do not say is not made up: {'; '.join(unknown)}."
    if any(one.outcome == "migrated" for one in done):
        yield (
            "A signature over an older manifest does not hold for the new one. Sign again: zoo publish NAME --sign-key "
            "FILE. A version that is published already keeps its manifest and signatures."
        )


@click.command(short_help="Rewrite releases of an older schema into the present one.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=release)
@click.option("--all", "everything", is_flag=True, help="All releases that are here.")
@click.option("--registry", "url", metavar="URL", help="Only say which schemas the releases of this registry are of.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@JSON
def migrate(names: tuple[str, ...], everything: bool, url: str | None, dry_run: bool, as_json: bool) -> None:
    """Rewrite releases NAME or NAME@VERSION, which were built here, from an older schema into the present one.

    Every command reads older releases as they are: this is for other tools, and to publish them. Figures stay what they
    are, artifacts are not touched, and the older manifest is kept beside the new one. What was published never changes.
    """
    from dataclasses import asdict

    from zoo.cli.script import print_json
    from zoo.errors import ManifestError
    from zoo.home import Home
    from zoo.registry.places import open_place
    from zoo.registry.schemas import schemas
    from zoo.release.migrate import SCHEMA
    from zoo.release.rewrite import Rewritten, rewrite_all

    if bool(names) + everything + (url is not None) != 1:
        raise click.UsageError("which releases? Write NAME, --all, or --registry URL.")
    shown = None
    if url is None:
        done, failed = rewrite_all(Home.find(), None if everything else names, dry_run)
    else:
        place = open_place(url)
        found, failed = schemas(place)
        shown = place.url
        done = [
            Rewritten(label, schema, "current" if schema == SCHEMA else "published") for label, schema in found.items()
        ]
    if not as_json:
        for one in done:
            click.echo(_line(one, dry_run))
        for note in _notes(done):
            click.echo(note, err=True)
    if len(failed) > 1:
        for name, why in failed.items():
            click.echo(f"can't be read: {name}: {why}" if url else f"not migrated: {name}: {why}", err=True)
        raise ManifestError(f"{len(failed)} of {len(failed) + len(done)} releases have something to mend, see above.")
    if failed:
        raise ManifestError(*failed.values())
    if as_json:
        print_json({"registry": shown, "dry_run": dry_run, "releases": [asdict(one) for one in done]})
