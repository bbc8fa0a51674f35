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
    from zoo.layout import SCHEMA

    match one.outcome:
        case "current":
            return f"{one.release}: schema {one.schema}, current"
        case "published":
            return f"{one.release}: schema {one.schema}, kept as published; every command reads it"
        case "migrated":
            tense = ("would be migrated", "would be kept") if dry else ("migrated", "is kept")
            return (
                f"{one.release}: {tense[0]} from schema {one.schema} to {SCHEMA}, with {one.measurements} "
                f"measurements; the old manifest {tense[1]} as {one.kept}"
            )


def _notes(done: Sequence[Rewritten]) -> Iterator[str]:
    """What to know about migrated releases."""
    if unknown := dict.fromkeys(line for one in done for line in one.unknown):
        yield f"Not recorded by the older schema, and left empty: {'; '.join(unknown)}."
    if any(one.outcome == "migrated" for one in done):
        yield (
            "Signatures of the old manifests do not cover the new ones. Sign when you publish: zoo publish NAME "
            "--sign-key FILE. A version that is published already keeps its manifest and its signatures."
        )


@click.command(short_help="Rewrite releases of an older schema.")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=release)
@click.option("--all", "everything", is_flag=True, help="All releases of this home.")
@click.option("--registry", "url", metavar="URL", help="Only show the schemas of this registry's releases.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@JSON
def migrate(names: tuple[str, ...], everything: bool, url: str | None, dry_run: bool, as_json: bool) -> None:
    """Rewrite releases NAME or NAME@VERSION that were built here from an older schema into the current one.

    Every command reads older releases without it. Migrate for other tools that read manifests, and before you publish.
    Figures and artifacts do not change, and the old manifest is kept. Pulled and published releases are not rewritten.
    """
    from dataclasses import asdict

    from zoo.cli.script import print_json
    from zoo.errors import ManifestError
    from zoo.home import Home
    from zoo.layout import SCHEMA
    from zoo.registry.places.by_url import open_place
    from zoo.registry.schemas import schemas
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
        if not done and not failed:
            click.echo(f"no releases in {shown or Home.find().root}", err=True)
        for note in _notes(done):
            click.echo(note, err=True)
    if len(failed) > 1:
        for name, why in failed.items():
            click.echo(f"{name}: {why}", err=True)
        raise ManifestError(f"{len(failed)} of {len(failed) + len(done)} releases failed; see above.")
    if failed:
        raise ManifestError(*failed.values())
    if as_json:
        print_json({"registry": shown, "dry_run": dry_run, "releases": [asdict(one) for one in done]})
