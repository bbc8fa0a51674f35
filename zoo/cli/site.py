"""`zoo site`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.options import scripted
from zoo.cli.registry import REGISTRY


@click.command(short_help="Write a static site of releases and their measurements.")
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@REGISTRY
@click.option("--local", is_flag=True, help="The releases on this machine alone.")
@click.option("--without-models", is_flag=True, help="Leave out graphs: no contact sheets, nothing to try.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@scripted
def site(out: Path, url: str | None, local: bool, without_models: bool, show: bool, as_json: bool) -> None:
    """Write a static site to the folder OUT: devices and models to compare, a page for each release.

    It shows the releases of a registry, or, if none is configured, those on this machine and those that come with zoo.
    It needs no server and no network: open index.html, or serve the folder. An older site in OUT is replaced as a
    whole.
    """
    from dataclasses import asdict

    from zoo.catalogue import load_catalogue
    from zoo.cli.script import print_json, reporter
    from zoo.home import Home
    from zoo.registry.opening import open_registry, uses_shipped
    from zoo.site.build import build, check_out
    from zoo.site.source import from_home, from_registry, shipped_beside

    if local and url:
        raise click.UsageError("--local and --registry exclude each other.")
    check_out(out)
    home, settings, progress = Home.find(), load_catalogue().registry, reporter()
    if local or (url is None and uses_shipped()):
        source = from_home(home)
        source = source if local else shipped_beside(source, home, progress)
    else:
        source = from_registry(open_registry(settings, home, url, False), progress)
    for label, why in source.damaged.items():
        click.echo(f"not shown: {label}: {why}", err=True)
    done = build(source, out, not without_models, progress)
    if as_json:
        print_json({"site": str(out), **asdict(done), "not_shown": dict(source.damaged)})
    else:
        click.echo(
            f"{out}: {done.releases} releases, {done.measurements} measurements, {done.pages} pages, "
            f"{done.size_bytes / 1e6:.1f} MB in {done.files} files"
        )
        click.echo(f"open {out / 'index.html'}, or serve it: python3 -m http.server --bind 127.0.0.1 --directory {out}")
    if show:
        click.launch((out / "index.html").absolute().as_uri())
