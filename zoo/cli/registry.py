"""`zoo publish`, `zoo pull`, `zoo verify`, `zoo yank`, `zoo gc`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.completion import anywhere, release, version
from zoo.cli.exit_codes import FOUND
from zoo.cli.options import DATA_ROOT, DATA_ROOT_DEFAULT, JSON, LICENSE, TARGETS, scripted

if TYPE_CHECKING:
    from zoo.building.build import BuildRequest
    from zoo.catalogue import Catalogue
    from zoo.errors import NothingPrebuilt
    from zoo.home import Home
    from zoo.release.local import Release

PLACES = "Folder, https://…, s3://BUCKET/FOLDER, hf://datasets/OWNER/NAME or oci://HOST/REPOSITORY."
REGISTRY = click.option("--registry", "url", metavar="URL", help=f"{PLACES} Default: ZOO_REGISTRY, or zoo.yaml's.")
READ_REGISTRY = click.option(
    "--registry",
    "url",
    metavar="URL",
    help=f"{PLACES} Default: ZOO_REGISTRY, or zoo.yaml's, or zoo://prebuilt: the releases that come with zoo.",
)


@click.command(short_help="Publish a release to a registry.")
@click.argument("name", shell_complete=release)
@REGISTRY
@click.option(
    "--sign-key",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ZOO_SIGN_KEY",
    show_envvar=True,
    help="Sign the manifest with this private key (PEM, elliptic curve).",
)
@scripted
def publish(name: str, url: str | None, sign_key: Path | None, as_json: bool) -> None:
    """Publish release NAME or NAME@VERSION that was built here.

    Published artifacts never change: if the release is there already, only new measurements and signatures are added.
    """
    from dataclasses import asdict

    from zoo.catalogue import load_catalogue
    from zoo.cli.script import print_json, reporter
    from zoo.home import Home
    from zoo.registry.opening import registry_url
    from zoo.registry.places.by_url import open_place
    from zoo.registry.publish import publish as send
    from zoo.release.licensing import unstated_line
    from zoo.release.local import find_release

    place = open_place(registry_url(load_catalogue().registry, url))
    release = find_release(Home.find(), name)
    done = send(release, place, sign_key, reporter())
    label = release.manifest.label
    if line := unstated_line(release.manifest):
        click.echo(line, err=True)
    signed = ", signed" if done.signed else ""
    if as_json:
        print_json({"release": label, "registry": place.url, **asdict(done)})
    elif done.new:
        click.echo(f"published: {label} in {place.url}, {done.measurements} measurements{signed}")
    elif done.measurements or done.signed:
        click.echo(f"{label} is in {place.url}; added: {done.measurements} measurements{signed}")
    else:
        click.echo(f"{label} is in {place.url} already, with all measurements")


def _request(command: str) -> BuildRequest | None:
    """What a release's command asks for, if that is a model of the catalogue as it stands. None if it takes a file,
    another release or other settings: these come from a registry, and a plan would have to read them.
    """
    from zoo.building.build import BuildRequest

    match shlex.split(command):
        case ["zoo", "build", name, *options] if {*options[::2]} <= {"--target"}:
            return BuildRequest(name, options[1::2])
    return None


def _tell_plan(error: NothingPrebuilt, catalogue: Catalogue, home: Home) -> None:
    """Print what it takes to build an artifact that is not prebuilt, to standard error; nothing if only the command can
    be told.

    Raises:
        RegistryError: it can't be built here; the message says why.
    """
    from importlib.util import find_spec

    from targets.installing import install_command
    from zoo.building.build import prepare
    from zoo.cli.output import print_plan
    from zoo.cli.script import reporter
    from zoo.errors import RegistryError, ZooError

    command = error.command
    if not find_spec("torch"):  # before a data set is opened, which may have to be drawn
        raise RegistryError(
            f"{error.message} {command} would need torch, which is not installed: {install_command('build')}"
        )
    request = _request(command)
    if request is None:
        return
    data_root = Path(os.environ.get("ZOO_DATA", DATA_ROOT_DEFAULT))
    try:
        plan = prepare(catalogue, home, request, data_root, reporter()).plan
    except ZooError as why:
        raise RegistryError(f"{error.message} {command} would fail here: {why}") from None
    click.echo(f"what {command} would do:", err=True)
    print_plan(plan, err=True)


def _pulled_line(release: Release) -> str:
    """What is here of a release now, and how to get the rest."""
    from zoo.registry.verify import missing

    absent, label = {*missing(release)}, release.manifest.label
    artifacts = release.manifest.artifacts
    here = dict.fromkeys(one.target for one in artifacts if one.target and one.path not in absent)
    others = dict.fromkeys(one.target for one in artifacts if one.target and one.path in absent)
    ours = f"{', '.join(here)}, " if here else ""
    line = f"pulled: {label}: {ours}the graph and the documents"
    line += f". Not pulled: {', '.join(others)} (zoo pull {label} --target TARGET, or --all)" if others else ""
    return line if here else f"{line}. No compiled artifact runs here: zoo doctor says what to install"


@click.command(short_help="Pull a release from a registry, or of those that come with zoo.")
@click.argument("name", shell_complete=anywhere)
@TARGETS("Pull artifacts for this target; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Pull artifacts of all targets, and the network for training.")
@click.option(
    "--require-signature", is_flag=True, help="Refuse releases without a trusted signature (registry.keys in zoo.yaml)."
)
@LICENSE
@READ_REGISTRY
@scripted
def pull(
    name: str,
    targets: tuple[str, ...],
    everything: bool,
    require_signature: bool,
    licenses: tuple[str, ...],
    url: str | None,
    as_json: bool,
) -> None:
    """Pull release NAME, NAME@1.2.0 or NAME@^1.2: the best artifact for this machine, or the named targets.

    Without a registry of your own, it pulls from the releases that come with zoo. Every byte is verified before it
    becomes visible; interrupted downloads resume. Without a network, releases that were pulled before are used.
    """
    from zoo.catalogue import load_catalogue
    from zoo.cli.output import print_release, release_json
    from zoo.cli.script import print_json, reporter
    from zoo.errors import NothingPrebuilt
    from zoo.home import Home
    from zoo.registry.choice import chooser
    from zoo.registry.opening import open_registry
    from zoo.registry.pull import pull as fetch
    from zoo.release.licensing import accepted
    from zoo.sanitize import one_line

    if targets and everything:
        raise click.UsageError("--all includes all targets: leave out --target.")
    catalogue, home, allowed = load_catalogue(), Home.find(), accepted(licenses)
    registry = open_registry(catalogue.registry, home, url, require_signature)
    choose = chooser(None if everything else targets, catalogue.target, allowed)
    try:
        release = fetch(registry, home, name, choose, reporter())
    except NothingPrebuilt as error:
        _tell_plan(error, catalogue, home)
        raise
    if as_json:
        print_json(release_json(release))
    else:
        print_release(release, home.bundles)
        click.echo(one_line(_pulled_line(release)))


@click.command(short_help="Verify a release: its bytes, signature and figures.")
@click.argument("name", shell_complete=release)
@click.option("--require-signature", is_flag=True, help="Fail without a trusted signature (registry.keys in zoo.yaml).")
@click.option("--measure", is_flag=True, help="Also measure here, and compare each figure with the published one.")
@TARGETS("Target to measure; repeatable. Default: all usable ones that have artifacts.")
@DATA_ROOT
@READ_REGISTRY
@scripted
def verify(
    name: str,
    require_signature: bool,
    measure: bool,
    targets: tuple[str, ...],
    data_root: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Verify every byte of release NAME or NAME@VERSION on this machine, and its signature in the registry.

    Exits with 4 if a file is damaged, or a figure is outside its tolerance.
    """
    from dataclasses import asdict

    from zoo.catalogue import load_catalogue
    from zoo.cli.bench import measured_again, print_repeated
    from zoo.cli.script import print_json, reporter
    from zoo.errors import NoRegistry
    from zoo.home import Home
    from zoo.registry.opening import open_registry
    from zoo.registry.verify import damage, missing, signed_by
    from zoo.release.local import find_release
    from zoo.sanitize import printable

    if targets and not measure:
        raise click.UsageError("--target needs --measure.")
    home, catalogue = Home.find(), load_catalogue()
    release = find_release(home, name)
    found = list(damage(release))
    pulled = release.path.is_relative_to(home.pulled)
    keys, unchecked = list[str](), None
    if pulled or require_signature:
        try:
            keys = signed_by(open_registry(catalogue.registry, home, url, require_signature), release)
        except NoRegistry as error:
            if require_signature or catalogue.registry.require_signature:
                raise
            unchecked = str(error)
    absent = missing(release)
    figures = None
    if measure and not found:
        figures = measured_again(release, targets, (catalogue, home, data_root), reporter())
    if as_json:
        print_json(
            {
                "release": release.manifest.label,
                "damage": found,
                "missing": absent,
                "signed_by": keys,
                "unchecked": unchecked,
                "figures": None if figures is None else [asdict(figure) for figure in figures],
            }
        )
    else:
        for line in found:
            click.echo(f"damaged: {printable(line)}")
        if unchecked:
            click.echo(f"not compared with the registry, signature not verified: {unchecked}", err=True)
        checked = len(release.manifest.files) - len(absent)
        verdict = f"{release.manifest.label}: {checked} files checked, {len(found)} damaged"
        verdict += f"; not pulled: {len(absent)}" * bool(absent)
        verdict += f"; signed by {', '.join(keys)}" if keys else ""
        mend = release.repairing or f"Get it again: zoo pull {release.manifest.label}"
        click.echo(verdict + f". {mend}" * bool(found))
        if figures:
            print_repeated(figures)
    if found or any(figure.verdict == "outside" for figure in figures or ()):
        sys.exit(FOUND)


@click.command(short_help="Hide a release of a registry from version resolution.")
@click.argument("name", shell_complete=version)
@click.option("--reason", metavar="TEXT", help="Reason, shown to everyone who requests this version.")
@click.option("--undo", is_flag=True, help="Restore the release.")
@REGISTRY
@JSON
def yank(name: str, reason: str | None, undo: bool, url: str | None, as_json: bool) -> None:
    """Hide release NAME@VERSION from version resolution. It stays available by its exact version."""
    from zoo.catalogue import load_catalogue
    from zoo.cli.script import print_json
    from zoo.registry.opening import registry_url
    from zoo.registry.places.by_url import open_place
    from zoo.registry.publish import yank as hide

    bare, _, version = name.partition("@")
    if not version:
        raise click.UsageError("which version? Write NAME@VERSION.")
    if bool(reason) == undo:
        raise click.UsageError("either --reason TEXT, or --undo.")
    place = open_place(registry_url(load_catalogue().registry, url))
    changed = hide(place, bare, version, None if undo else reason)
    if as_json:
        print_json({"release": name, "registry": place.url, "yanked": reason})
    elif undo:
        click.echo(f"{name} {'is restored' if changed else 'was not yanked'} in {place.url}")
    else:
        click.echo(f"{name} {'is' if changed else 'was'} yanked in {place.url}")


@click.command(short_help="Remove files that no release of a registry refers to.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@REGISTRY
@JSON
def gc(dry_run: bool, url: str | None, as_json: bool) -> None:
    """Remove files of the registry that no release refers to and that are older than a day."""
    from zoo.catalogue import load_catalogue
    from zoo.cli.script import print_json
    from zoo.registry.opening import registry_url
    from zoo.registry.places.by_url import open_place
    from zoo.registry.publish import collect_garbage

    place = open_place(registry_url(load_catalogue().registry, url))
    count, size = collect_garbage(place, dry_run)
    if as_json:
        print_json({"registry": place.url, "dry_run": dry_run, "files": count, "size_bytes": size})
    else:
        click.echo(f"{'would remove' if dry_run else 'removed'} {count} files, {size / 1e6:.1f} MB, from {place.url}")
