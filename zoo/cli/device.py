"""`zoo compile` and `zoo receive`: builds that are finished on another machine."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("compile")
@click.argument("bundle", type=FILE)
@click.option("--out", "-o", type=FILE, help="Where the result goes; left out: beside you, named as the bundle.")
def compile_(bundle: Path, out: Path | None) -> None:
    """Compile and measure BUNDLE on this machine, and write a result to take back.

    A machine without zoo does the same with `python3 BUNDLE`: it needs Python 3.10, numpy and the runtime.
    """
    from targets.program import compile_bundle, default_result

    result = out or default_result(bundle)
    try:
        compile_bundle(bundle, result, click.echo)
    except OSError as error:
        raise click.ClickException(f"{error.strerror or error} ({error.filename or result}).") from None
    click.echo(f"result: {result}\nTake it to where the model was built: zoo receive {result.name}")


@click.command()
@click.argument("result", type=FILE)
def receive(result: Path) -> None:
    """Take in RESULT, which a device made of a bundle; the build then records it."""
    from zoo.home import Home
    from zoo.received import receive as take_in
    from zoo.releases import find_release

    home = Home.find()
    release, target = take_in(home, result)
    click.echo(f"received: {release} on {target}. Record it: {find_release(home, release).manifest.provenance.command}")
