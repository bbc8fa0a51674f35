"""`zoo bench`, and the measuring part of `zoo verify --measure`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from zoo.cli.completion import release
from zoo.cli.options import DATA_ROOT, TARGETS, scripted

if TYPE_CHECKING:
    from pipeline.progress import Progress
    from zoo.catalogue import Catalogue
    from zoo.home import Home
    from zoo.measure.repeat import Repeated
    from zoo.release.local import Release
    from zoo.release.measurements import Measured
    from zoo.use.runnable import Runnable

    Plan: TypeAlias = dict[str, list[Runnable]]  # artifacts to measure, by target
    Where: TypeAlias = tuple[Catalogue, Home, Path]  # the last is the folder that holds data sets


def measured(found: Release, plan: Plan, where: Where, progress: Progress) -> Iterator[list[Measured]]:
    """Measure a release on this machine, target by target."""
    from zoo.measure.measuring import find_data, measure_release, read_protocol

    protocol = read_protocol(found.manifest, find_data(found.manifest, *where, progress))
    for target, artifacts in plan.items():
        yield measure_release(found, target, artifacts, protocol, progress)


@click.command(short_help="Measure a release on this machine and add the figures to it.")
@click.argument("name", shell_complete=release)
@TARGETS("Measure for this target; repeatable. Default: all usable ones that have artifacts.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of one inference. Default: the target's.")
@DATA_ROOT
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the figures to this file, to send to the release's publisher, who runs zoo receive.",
)
@click.option("--by", help="Who measured, as it will be shown beside the exported figures.")
@scripted
def bench(
    name: str,
    targets: tuple[str, ...],
    threads: int | None,
    data_root: Path,
    export: Path | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Measure release NAME or NAME@VERSION on this machine and add the figures to it.

    Follows the protocol of its recipe: for each target, its compiled artifacts and the fp32 graph are timed in turn in
    one run. Accuracy is measured if the data set is available. zoo publish publishes the added figures; --export is for
    releases of somebody else.
    """
    from zoo.catalogue import load_catalogue
    from zoo.cli.output import console
    from zoo.cli.script import print_json, reporter
    from zoo.home import Home
    from zoo.measure.measurable import measurable
    from zoo.output_file import check_writable, write_file
    from zoo.release.local import Release, find_release
    from zoo.release.measurements import write_measurements
    from zoo.release.submission import check_name, to_submission
    from zoo.tables import measurement_table

    if by is not None and export is None:
        raise click.UsageError("--by belongs to --export.")
    catalogue, home = load_catalogue(), Home.find()
    found = find_release(home, name)
    manifest, added = found.manifest, list[Any]()
    if export:
        check_writable(export)
        check_name(by)
    plan = measurable(found, targets, catalogue, threads)
    folder = home.measurements / manifest.name / manifest.version
    write_measurements(folder, ())  # before the work: check that they can be written
    for records in measured(found, plan, (catalogue, home, data_root), reporter()):
        write_measurements(folder, records)
        added += records
    if export:
        write_file(export, to_submission(manifest, added, by))
    if as_json:
        records = [record.model_dump(mode="json") for record in added]
        print_json({"release": manifest.label, "added": records, "exported": str(export) if export else None})
        return
    console().print(measurement_table([Release(found.path, manifest, added)]))
    click.echo(f"added: {len(added)} measurements of {manifest.label}. Publish them: zoo publish {manifest.label}")
    if export:
        click.echo(
            f"exported: {export}. It is text: figures, versions, this machine's processor, system and sensors"
            f"{' and your name' * (by is not None)}. Send it to the release's publisher, for: zoo receive {export.name}"
        )


def measured_again(found: Release, targets: Sequence[str], where: Where, progress: Progress) -> list[Repeated]:
    """Measure the published figures again, with the same number of threads, without adding them to the release."""
    from zoo.measure.measurable import measurable, most_threads
    from zoo.measure.repeat import published_threads, repeated
    from zoo.release.local import read_release
    from zoo.use.golden import read_golden

    found = read_release(found.path)  # without measurements that this machine added
    golden, rows, catalogue = read_golden(found.path.parent), list[Any](), where[0]
    plan: Plan = {}
    for target in measurable(found, targets, catalogue):
        threads = published_threads(found, target)  # perhaps from a larger machine with this processor
        plan |= measurable(found, [target], catalogue, threads and min(threads, most_threads()))
    for records in measured(found, plan, where, progress):
        for record in records:
            rows += repeated(found, record, golden.min_cosine.get(record.precision, 0.0) if golden else 0.0)
    return rows


def print_repeated(rows: Sequence[Repeated]) -> None:
    """Print each figure with the published one and its tolerance."""
    from zoo.cli.output import console
    from zoo.tables import table
    from zoo.tables.columns import COLUMNS, NOTHING, number

    def said(row: Repeated) -> dict[str, str]:
        show = number(4) if row.figure == "cosine" else COLUMNS[row.figure].show
        room = NOTHING if row.low is None else f"{show(row.low)} … {show(row.high) if row.high is not None else '1'}"
        return {
            "target": row.target,
            "precision": row.precision,
            "figure": "cosine to the golden embedding" if row.figure == "cosine" else COLUMNS[row.figure].heading,
            "published": show(row.published),
            "here": show(row.here),
            "tolerance": room,
            "verdict": row.verdict,
            "why": row.why,
        }

    shown = [said(row) for row in rows]
    console().print(table(shown, shown[0]))
    within, outside, unjudged = (sum(row.verdict == one for row in rows) for one in ("within", "outside", "not judged"))
    click.echo(f"{within} figures within tolerance, {outside} outside, {unjudged} not judged")
