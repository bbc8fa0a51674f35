"""`zoo compile` and `zoo receive`: builds that are completed on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.options import JSON, scripted

if TYPE_CHECKING:
    from zoo.cli.shapes.commands import Compiled

FILE = click.Path(path_type=Path, dir_okay=False)
TOLD = ("release", "target", "measured_at", "device", "runtime", "threads", "conditions", "broken")


def result_json(bundle: Path, result: Path) -> Compiled:
    """The result of a bundle, for scripts."""
    from targets.bundles.archive import read_list
    from targets.bundles.contents import RESULT_LIST
    from targets.bundles.widths import is_widths

    about = read_list(result, RESULT_LIST)
    rows, widths = ([], about["rows"]) if is_widths(about) else (about["rows"], [])
    told = {key: about[key] for key in TOLD}
    return {"bundle": str(bundle), "result": str(result), **told, "rows": rows, "widths": widths}  # type: ignore[typeddict-item]


@click.command("compile", short_help="Compile and measure a bundle on this machine.")
@click.argument("bundle", type=FILE)
@click.option("--out", "-o", type=FILE, help="File for the result. Default: named like the bundle, in this folder.")
@scripted
def compile_(bundle: Path, out: Path | None, as_json: bool) -> None:
    """Compile and measure BUNDLE on this machine, and write a result to copy back.

    A machine without zoo does the same with `python3 BUNDLE`; it needs Python 3.10, numpy and the runtime.
    """
    from targets.bundles.program import compile_bundle, default_result
    from zoo.cli.script import print_json, reporter
    from zoo.errors import OutputError

    result = out or default_result(bundle)
    try:
        compile_bundle(bundle, result, reporter().say if as_json else click.echo)
    except OSError as error:
        raise OutputError(
            f"can't use {error.filename or result}: {error.strerror or error}. Free some space, or name another file: "
            "--out FILE"
        ) from None
    if as_json:
        print_json(result_json(bundle, result))
        return
    click.echo(f"result: {result}\nCopy it to the build machine and run: zoo receive {result.name}")


def _receive_measurements(file: Path, dry_run: bool, as_json: bool) -> None:
    """`zoo receive` of what `zoo bench --export` wrote."""
    from zoo.cli.output import console
    from zoo.cli.script import print_json
    from zoo.home import Home
    from zoo.measure.submitted import receive_submission
    from zoo.release.local import Release, find_release
    from zoo.release.submission import read_submission
    from zoo.tables import measurement_table

    home, sent = Home.find(), read_submission(file)
    release = find_release(home, sent.content.release)
    label, done = release.manifest.label, receive_submission(home, sent, release, not dry_run)
    command, kept = f"zoo publish {label}", not dry_run and bool(done.new)
    if as_json:
        records = [record.model_dump(mode="json") for record in done.new]
        about = {"by": sent.content.by, "added": records, "kept": kept, "known": done.known, "notes": done.notes}
        print_json({"release": label, "target": None, "command": command, **about})
        return
    if done.new:
        console().print(measurement_table([Release(release.path, release.manifest, [*done.new])]))
    for note in done.notes:
        click.echo(f"note: {note}")
    by = f" by {sent.content.by}" if sent.content.by else ""
    known = f"; {done.known} were here already" if done.known else ""
    if dry_run:
        click.echo(f"checked: {len(done.new)} measurements of {label}{by} could be added{known}. Nothing was written.")
    elif not done.new:
        click.echo(f"nothing to add: all {done.known} measurements of {label}{by} are here already.")
    else:
        click.echo(f"received: {len(done.new)} measurements of {label}{by}{known}. Publish them: {command}")


@click.command(short_help="Receive the result of a bundle, or measurements that somebody sent.")
@click.argument("result", type=FILE)
@click.option("--dry-run", is_flag=True, help="Only check measurements that somebody sent; add nothing.")
@JSON
def receive(result: Path, dry_run: bool, as_json: bool) -> None:
    """Receive RESULT: what a device made from a bundle, which the build then records; or measurements that somebody
    exported with zoo bench --export, which are checked and added to the release as reported by them.
    """
    from zoo.building.received import receive as take_in
    from zoo.cli.script import print_json
    from zoo.home import Home
    from zoo.release.submission import is_submission

    if is_submission(result):
        _receive_measurements(result, dry_run, as_json)
        return
    if dry_run:
        raise click.UsageError("--dry-run is for measurements that zoo bench --export wrote.")
    done = take_in(Home.find(), result)
    if as_json:
        nothing: dict[str, object] = {"by": None, "added": [], "kept": True, "known": 0, "notes": []}
        print_json({"release": done.release, "target": done.target, "command": done.command, **nothing})
    elif done.widths:
        click.echo(f"received: widths of {done.release} on {done.target}. Run the build again: {done.command}")
    else:
        click.echo(f"received: {done.release} on {done.target}. Record it: {done.command}")
