"""`zoo doctor`."""

from __future__ import annotations

import click

from zoo.cli.options import JSON


@click.command(short_help="Show which targets are usable here, and how to fix the others.")
@JSON
def doctor(as_json: bool) -> None:
    """Show which targets are usable on this machine and, for each of the others, why not and how to fix it."""
    from zoo.catalogue import load_catalogue
    from zoo.cli.output import console
    from zoo.cli.script import print_json
    from zoo.doctor import examine
    from zoo.home import Home

    home = Home.find()
    rows = examine(load_catalogue(), home)
    if as_json:
        print_json(rows)
        return
    out = console()
    for row in rows:
        mark = "[green]usable  [/]" if row["usable"] else "[red]unusable[/]"
        out.print(f"{mark}  {row['name']}: ", end="")
        out.print(str(row["what"]), markup=False)
        if not row["usable"]:
            out.print(f"          {row['mend']}", markup=False)
    out.print(f"zoo writes to {home.root}", markup=False)
