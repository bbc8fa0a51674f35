"""`zoo publish`, `zoo pull`, `zoo verify`, `zoo yank`, `zoo gc`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

REGISTRY = click.option(
    "--registry",
    "url",
    metavar="URL",
    help="Folder, https://…, s3://BUCKET/FOLDER or hf://datasets/OWNER/NAME; left out: ZOO_REGISTRY, or zoo.yaml's.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")


@click.command()
@click.argument("name")
@REGISTRY
@click.option(
    "--sign-key",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ZOO_SIGN_KEY",
    show_envvar=True,
    help="Sign the manifest with this private key (PEM, elliptic curve).",
)
@JSON
def publish(name: str, url: str | None, sign_key: Path | None, as_json: bool) -> None:
    """Publish release NAME or NAME@VERSION, which was built here.

    What is published never changes: of a release that is there already, only new measurements and signatures are added.
    """
    from dataclasses import asdict

    from rich.console import Console

    from zoo.catalogue import load_catalogue
    from zoo.cli.output import print_json
    from zoo.cli.progress import ConsoleProgress
    from zoo.home import Home
    from zoo.registry.opening import registry_url
    from zoo.registry.places import open_place
    from zoo.registry.publish import publish as send
    from zoo.releases import find_release

    place = open_place(registry_url(load_catalogue().registry, url))
    release = find_release(Home.find(), name)
    done = send(release, place, sign_key, ConsoleProgress(Console(stderr=True)))
    label = release.manifest.label
    if as_json:
        print_json({"release": label, "registry": place.url, **asdict(done)})
        return
    signed = ", signed" if done.signed else ""
    if done.new:
        click.echo(f"published: {label} in {place.url}, {done.measurements} measurements{signed}")
    elif done.measurements or done.signed:
        click.echo(f"{label} is in {place.url}; added: {done.measurements} measurements{signed}")
    else:
        click.echo(f"{label} is in {place.url} already, with all that is known of it here")
    unknown = [part for part, license in release.manifest.licenses if license == "not stated"]
    if unknown:
        click.echo(
            f"license not stated: {', '.join(unknown)}. Say it in zoo.yaml: nobody may use what has none.", err=True
        )


@click.command()
@click.argument("name")
@click.option("--target", "-t", "targets", multiple=True, metavar="TARGET", help="Its artifacts; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Artifacts of all targets, and the network for training.")
@click.option(
    "--require-signature", is_flag=True, help="Refuse what no trusted key signed (registry.keys in zoo.yaml)."
)
@REGISTRY
@JSON
def pull(
    name: str, targets: tuple[str, ...], everything: bool, require_signature: bool, url: str | None, as_json: bool
) -> None:
    """Pull release NAME, NAME@1.2.0 or NAME@^1.2: what suits this machine best, or what is named.

    Every byte is checked before it becomes visible; what was cut goes on where it was. Without a network, what was
    pulled before is used.
    """
    from rich.console import Console

    from zoo.catalogue import load_catalogue
    from zoo.cli.output import print_json, print_release, release_json
    from zoo.cli.progress import ConsoleProgress
    from zoo.home import Home
    from zoo.registry.choice import chooser
    from zoo.registry.opening import open_registry
    from zoo.registry.pull import pull as fetch

    if targets and everything:
        raise click.UsageError("--all is all targets: leave out --target.")
    catalogue, home = load_catalogue(), Home.find()
    registry = open_registry(catalogue.registry, home, url, require_signature)
    wanted = None if everything else [catalogue.target(target) for target in targets]
    release = fetch(registry, home, name, chooser(wanted), ConsoleProgress(Console(stderr=True)))
    if as_json:
        print_json(release_json(release))
    else:
        print_release(release, home.bundles)


@click.command()
@click.argument("name")
@click.option("--require-signature", is_flag=True, help="Fail where no trusted key signed (registry.keys in zoo.yaml).")
@REGISTRY
@JSON
def verify(name: str, require_signature: bool, url: str | None, as_json: bool) -> None:
    """Check every byte of release NAME or NAME@VERSION that is here, and its signature in the registry."""
    from zoo.catalogue import load_catalogue
    from zoo.cli.output import print_json
    from zoo.home import Home
    from zoo.registry.opening import open_registry
    from zoo.registry.verify import damage, missing, signed_by
    from zoo.releases import find_release

    home, settings = Home.find(), load_catalogue().registry
    release = find_release(home, name)
    found = list(damage(release))
    pulled = release.path.is_relative_to(home.pulled)
    keys = []
    if pulled or require_signature:
        keys = signed_by(open_registry(settings, home, url, require_signature), release)
    absent = missing(release)
    if as_json:
        report = {"release": release.manifest.label, "damage": found, "missing": absent, "signed_by": keys}
        print_json(report)
    else:
        for line in found:
            click.echo(f"damaged: {line}")
        checked = len(release.manifest.files) - len(absent)
        verdict = f"{release.manifest.label}: {checked} files checked, {len(found)} damaged"
        verdict += f"; not pulled: {len(absent)}" * bool(absent)
        verdict += f"; signed by {', '.join(keys)}" if keys else ""
        click.echo(verdict)
    if found:
        sys.exit(1)


@click.command()
@click.argument("name")
@click.option("--reason", metavar="TEXT", help="Why; everybody who asks for this version is told.")
@click.option("--undo", is_flag=True, help="Show it again.")
@REGISTRY
def yank(name: str, reason: str | None, undo: bool, url: str | None) -> None:
    """Hide release NAME@VERSION from resolution. It stays there, for those who name this very version."""
    from zoo.catalogue import load_catalogue
    from zoo.registry.opening import registry_url
    from zoo.registry.places import open_place
    from zoo.registry.publish import yank as hide

    bare, _, version = name.partition("@")
    if not version:
        raise click.UsageError("which version? Write NAME@VERSION.")
    if bool(reason) == undo:
        raise click.UsageError("either --reason TEXT, or --undo.")
    place = open_place(registry_url(load_catalogue().registry, url))
    hide(place, bare, version, None if undo else reason)
    click.echo(f"{name} is {'shown again' if undo else 'yanked'} in {place.url}")


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@REGISTRY
def gc(dry_run: bool, url: str | None) -> None:
    """Remove files of the registry that no release refers to and that are older than a day."""
    from zoo.catalogue import load_catalogue
    from zoo.registry.opening import registry_url
    from zoo.registry.places import open_place
    from zoo.registry.publish import collect_garbage

    place = open_place(registry_url(load_catalogue().registry, url))
    count, size = collect_garbage(place, dry_run)
    click.echo(f"{'would remove' if dry_run else 'removed'} {count} files, {size / 1e6:.1f} MB, from {place.url}")
