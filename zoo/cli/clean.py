"""`zoo clean`."""

from __future__ import annotations

import click

from zoo.cli.options import JSON


@click.command(short_help="Remove results of stages that nothing needs any more.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--unfinished", is_flag=True, help="Also remove results of interrupted builds; these then start anew.")
@JSON
def clean(dry_run: bool, unfinished: bool, as_json: bool) -> None:
    """Remove results of stages, in .zoo/store, that no release and no unfinished build needs.

    A release needs all results it was made from. To free these, too, first remove its folder in .zoo/releases.
    """
    from collections import Counter

    from zoo.building.clean import clean as remove
    from zoo.cli.script import print_json
    from zoo.home import Home

    home = Home.find()
    found = remove(home, dry_run, unfinished)
    if as_json:
        print_json(
            {
                "store": str(home.store),
                "dry_run": dry_run,
                "results": [f"{stage}/{key}" for stage, key in found.results],
                "unfinished": [path.name for path in found.unfinished],
                "size_bytes": found.size_bytes,
            }
        )
        return
    parts = [f"{count} of {stage}" for stage, count in Counter(stage for stage, _ in found.results).items()]
    parts += [f"{len(found.unfinished)} unfinished"] * bool(found.unfinished)
    told = f" ({', '.join(parts)})" if parts else ""
    count = len(found.results) + len(found.unfinished)
    done = "would remove" if dry_run else "removed"
    click.echo(f"{done} {count} results, {found.size_bytes / 1e6:.1f} MB, from {home.store}{told}")
