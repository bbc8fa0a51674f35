"""`zoo compare`, `zoo search`, `zoo diff`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo.cli.completion import release, version
from zoo.cli.exit_codes import FOUND
from zoo.cli.options import JSON, LICENSE, LISTED_REGISTRY

if TYPE_CHECKING:
    from zoo.home import Home
    from zoo.registry.reader import Registry
    from zoo.release.local import Release
    from zoo.tables import Comparison
    from zoo.tables.diff import Change, Difference

Command = TypeVar("Command", bound=Callable[..., Any])
MAP_POINTS = 0.5  # also the default of the gate on a precision (calibrate.max_map_drop_points)
LATENCY_PERCENT = 5.0  # how far windows of a steady run may differ (`targets.measuring.latency`)


def _printing(command: Command) -> Command:
    """Options shared by `compare` and `search`."""
    shape = click.option(
        "--format",
        "shape",
        type=click.Choice(["terminal", "markdown", "csv", "json"]),
        default="terminal",
        show_default=True,
        help="CSV and JSON are in full precision.",
    )
    device = click.option(
        "--device", metavar="WORDS", help="Only on this device: words of its name, or of a target's name or alias."
    )
    return shape(JSON(device(command)))


def _print(comparison: Comparison, shape: str, models: int) -> None:
    from zoo.cli.output import console
    from zoo.cli.script import print_json
    from zoo.tables.formats import as_json, comma_separated, lines_beside, markdown, terminal

    if shape == "json":
        print_json(as_json(comparison))
        return
    if shape == "terminal":
        console().print(terminal(comparison, models))
        return
    sys.stdout.write({"markdown": markdown, "csv": comma_separated}[shape](comparison))
    if shape == "csv":
        for line in lines_beside(comparison):
            click.echo(line, err=True)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _registry(home: Home, url: str) -> Registry:
    from zoo.catalogue import load_catalogue
    from zoo.registry.opening import open_registry

    return open_registry(load_catalogue().registry, home, url, False)


def _aliases(device: str | None) -> dict[str, str]:
    if device is None:
        return {}
    from zoo.catalogue import load_catalogue

    return load_catalogue().aliases


@click.command(short_help="Compare releases, one table per device.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=release)
@_printing
@LISTED_REGISTRY
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also plot mAP against p50 to this .png or .svg, one panel per table.",
)
@LICENSE
def compare(
    names: tuple[str, ...],
    shape: str,
    as_json: bool,
    device: str | None,
    url: str | None,
    plot: Path | None,
    licenses: tuple[str, ...],
) -> None:
    """Compare releases NAME... (or NAME@VERSION) on the devices they were measured on.

    A release that is not here and comes with zoo is compared without being pulled.

    A table holds comparable figures: one device, one data set, one protocol. If there are several, a line says how they
    differ. Pending targets are never in a table, and times of a throttled machine are void.
    """
    from zoo.home import Home
    from zoo.registry.listing import find_anywhere, find_offered
    from zoo.release.licensing import accepted
    from zoo.tables import compare as compared

    allowed = accepted(licenses)
    if plot:
        from zoo.tables.plot import check_plot

        check_plot(plot)
    home = Home.find()
    if url is None:
        found = [find_anywhere(home, name)[0] for name in names]
    else:
        registry = _registry(home, url)
        found = [find_offered(registry, name, _say) for name in names]
    releases = {release.manifest.label: release for release in found}
    if allowed:
        for one in releases.values():
            allowed.check(one.manifest)
    comparison = compared([*releases.values()], device, _aliases(device))
    _print(comparison, "json" if as_json else shape, len(releases))
    if plot:
        from zoo.tables.plot import plot as draw

        draw(comparison.groups, plot)
        click.echo(f"plot: {plot}", err=True)


def _searched(home: Home, url: str | None) -> tuple[list[Release], dict[str, str], str]:
    """Releases to search, why others can't be read, and where they are."""
    from zoo.registry.listing import offered, shipped_beside
    from zoo.release.local import read_all

    if url is not None:
        registry = _registry(home, url)
        there = offered(registry, _say)
        return there.releases, there.damaged, registry.url
    here = read_all(home)
    labels = {release.manifest.label for release in here.releases}
    beside = shipped_beside(home, labels | here.damaged.keys())
    return [*here.releases, *beside.releases], {**here.damaged, **beside.damaged}, str(home.root)


class _Search(click.Command):
    """Appends the columns to the help, imported only then."""

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        from zoo.tables.comparison import KEYS

        with formatter.section("Columns"):
            formatter.write_text(", ".join(KEYS))


@click.command(cls=_Search, short_help="Find releases: 'map > 80 and p50_ms < 5'.")
@click.argument("expression")
@_printing
@click.option("--sort", metavar="COLUMN", help="Sort the rows of a table by this column, best first.")
@click.option("--all-precisions", is_flag=True, help="Include precisions that do not ship, and the dense network.")
@LISTED_REGISTRY
@LICENSE
def search(
    expression: str,
    shape: str,
    as_json: bool,
    device: str | None,
    sort: str | None,
    all_precisions: bool,
    url: str | None,
    licenses: tuple[str, ...],
) -> None:
    """Find releases on this machine, and of those that come with zoo, that match EXPRESSION: 'map > 80 and p50_ms < 5'.

    Compare columns by < <= > >= == != with numbers, quoted texts or each other; combine with and, or, not and
    parentheses; ships and steady stand alone. A missing or void value matches nothing.
    """
    from zoo.cli.licensed import kept
    from zoo.errors import CompareError
    from zoo.home import Home
    from zoo.release.licensing import accepted
    from zoo.tables import compare as compared
    from zoo.tables.comparison import check_column
    from zoo.tables.search import found, read_question

    question, allowed = read_question(expression), accepted(licenses)
    if sort:
        check_column(sort)
    home = Home.find()
    releases, damaged, where = _searched(home, url)
    for label, why in damaged.items():
        click.echo(f"damaged: {label}: {why}", err=True)
    if not releases:
        raise CompareError(
            f"no {'other ' * bool(damaged)}release in {where} to search. Build one: zoo build; or get it: zoo pull NAME"
        )
    releases = kept(releases, allowed)
    matches = found(compared(releases, device, _aliases(device)), question, sort, all_precisions)
    shape = "json" if as_json else shape
    if matches.comparison.groups or shape != "terminal":
        _print(matches.comparison, shape, 2)
    click.echo(matches.told, err=True)


def _tolerance(_: click.Context, __: click.Parameter, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise click.BadParameter("must be 0 or more.")
    return value


@click.command(short_help="Show regressions and improvements from one release to another.")
@click.argument("before", shell_complete=version)
@click.argument("after", shell_complete=version)
@click.option(
    "--map-points",
    type=float,
    default=MAP_POINTS,
    show_default=True,
    callback=_tolerance,
    help="Tolerance of mAP, in points.",
)
@click.option(
    "--latency-percent",
    type=float,
    default=LATENCY_PERCENT,
    show_default=True,
    callback=_tolerance,
    help="Tolerance of p50 and images/s, in per cent.",
)
@JSON
def diff(before: str, after: str, map_points: float, latency_percent: float, as_json: bool) -> None:
    """Show regressions and improvements from release BEFORE to AFTER, each NAME@VERSION. For CI.

    The times of two releases come from two runs. Beyond tolerance they count only if both runs were steady and the
    ratio to the dense network changed as well; otherwise they are unsure.

    Exits with 4 if there are regressions.
    """
    from zoo.cli.script import print_json
    from zoo.home import Home
    from zoo.release.local import find_release
    from zoo.tables.diff import diff as difference

    home = Home.find()
    found = difference(find_release(home, before), find_release(home, after), map_points, latency_percent)
    if as_json:
        print_json(found.as_json())
    else:
        _print_difference(found)
    if found.of("regressions"):
        sys.exit(FOUND)


def _print_difference(found: Difference) -> None:
    from zoo.cli.output import console
    from zoo.tables import table
    from zoo.tables.diff import BUCKETS

    out = console()
    out.print(
        f"{found.before} → {found.after}; tolerances: mAP {found.map_points:g} points, "
        f"times {found.latency_percent:g} %",
        markup=False,
    )
    for bucket in BUCKETS:
        changes = found.of(bucket)
        out.print(
            f"\n{bucket}: {len(changes) or 'none'}", style="bold red" if bucket == "regressions" and changes else "bold"
        )
        if changes:
            rows = [_said(change) for change in changes]
            out.print(table(rows, [key for key in rows[0] if any(row[key] for row in rows)]))
    for label, only in ((found.before, found.only_before), (found.after, found.only_after)):
        if only:
            out.print(f"\nonly in {label}: {'; '.join(only)}", markup=False)


def _said(change: Change) -> dict[str, Any]:
    from zoo.tables.columns import COLUMNS, NOTHING

    column = COLUMNS[change.figure]
    unit = "points" if change.figure == "map" else "%"
    return {
        "target": change.target,
        "precision": change.precision,
        "ships": change.ships,
        "figure": column.heading,
        "before": column.show(change.before),
        "after": column.show(change.after),
        "change": NOTHING if change.change is None else f"{change.change:+.2f} {unit}",
        "why": change.why,
        "on": change.device,
    }
