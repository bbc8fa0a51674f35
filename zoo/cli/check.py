"""`zoo check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.completion import release
from zoo.cli.exit_codes import FOUND
from zoo.cli.options import DATA_ROOT, TARGETS, scripted

if TYPE_CHECKING:
    from zoo.emulated.checking import Verdict

ARCHITECTURES = ("arm64",)
CPUS = ("cortex-a72", "cortex-a76")  # `zoo.emulated.machine.PROCESSORS`, which is not imported for help


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print a row for each artifact that returned embeddings: how near they came."""
    from zoo.cli.output import console
    from zoo.tables import table
    from zoo.tables.columns import NOTHING, number

    cosine, map_ = number(6), number(2)
    rows = []
    for one in verdicts:
        found = one.record
        row = {"target": one.target, "precision": one.precision}
        row["largest difference"] = f"{found.largest_difference:.1e}" if found else NOTHING
        row["smallest cosine"] = cosine(found and found.min_cosine)
        row["mean cosine"] = cosine(found and found.mean_cosine)
        row["cosine to the golden embedding"] = cosine(found and found.golden_cosine)
        if any(other.record and other.record.accuracy for other in verdicts):
            row["mAP %, emulated"] = map_(found and found.accuracy and found.accuracy.map)
            row["mAP %, here"] = map_(found and found.accuracy_here and found.accuracy_here.map)
        rows.append(row | {"verdict": "differs" if one.why else "agrees"})
    console().print(table(rows, rows[0]))


@click.command(short_help="Run a release on an emulated arm64 machine and compare the embeddings.")
@click.argument("name", shell_complete=release)
@click.option("--arch", type=click.Choice(ARCHITECTURES), required=True, help="The architecture to emulate.")
@TARGETS("Check this target, which may be a board; repeatable. Default: all that can be emulated.")
@click.option(
    "--cpu",
    type=click.Choice(CPUS),
    default=CPUS[0],
    show_default=True,
    help="The processor to emulate: of a Raspberry Pi 4, or of a Raspberry Pi 5.",
)
@click.option(
    "--images",
    type=click.IntRange(min=0),
    default=16,
    show_default=True,
    help="Images of the test set to compare, beside the golden input.",
)
@click.option("--all-images", is_flag=True, help="Compare the whole test set, and its mAP.")
@DATA_ROOT
@scripted
def check(
    name: str,
    arch: str,
    targets: tuple[str, ...],
    cpu: str,
    images: int,
    all_images: bool,
    data_root: Path,
    as_json: bool,
) -> None:
    """Run artifacts of release NAME or NAME@VERSION on an emulated arm64 machine and compare the embeddings.

    Needs qemu (apt-get install qemu-user-static) and no board: the golden input and a sample of the test set are
    embedded by the same artifact with the same version of the runtime, here and there. In fp32 no number may differ by
    more than 1e-4; in fp16 and int8 every cosine must be 0.999 or more. The figures are added to the release as
    `emulated`, without times. Exits with 4 if an artifact differs, or does not run there.
    """
    from tempfile import TemporaryDirectory

    from zoo.catalogue import load_catalogue
    from zoo.cli.script import print_json, reporter
    from zoo.emulated.candidates import emulatable
    from zoo.emulated.checking import Checker
    from zoo.emulated.images import choose_images
    from zoo.emulated.machine import find_emulator
    from zoo.home import Home
    from zoo.measure.measuring import find_data, read_protocol
    from zoo.release.local import find_release
    from zoo.release.measurements import write_measurements
    from zoo.sanitize import one_line

    catalogue, home, progress = load_catalogue(), Home.find(), reporter()
    found = find_release(home, name)
    manifest, verdicts = found.manifest, list["Verdict"]()
    folder = home.measurements / manifest.name / manifest.version
    with TemporaryDirectory(prefix="zoo-bundles-") as scratch:
        plan = emulatable(found, targets, catalogue, home, Path(scratch))
        find_emulator()  # before data are drawn
        write_measurements(folder, ())  # before the work: check that they can be written
        needed = all_images or images > 0
        data = find_data(manifest, catalogue, home, data_root, progress) if needed else None
        chosen = choose_images(found, read_protocol(manifest, data), None if all_images else images)
        checker = Checker.start(found, home, cpu, chosen, progress)
        for one in plan:
            verdicts.append(checker.check(one))
            write_measurements(folder, [verdict.record for verdict in verdicts[-1:] if verdict.record])
    added = [one.record for one in verdicts if one.record]
    if as_json:
        print_json(
            {
                "release": manifest.label,
                "arch": arch,
                "cpu": cpu,
                "verdicts": [
                    {"target": one.target, "precision": one.precision, "agrees": not one.why, "why": one.why}
                    for one in verdicts
                ],
                "added": [record.model_dump(mode="json") for record in added],
            }
        )
    else:
        print_verdicts(verdicts)
        sample = f" and {len(chosen.pixels) - 1} images of {manifest.data.name}" * bool(chosen.fingerprint)
        click.echo(f"compared: the golden input{sample}, on an emulated {cpu} and here. Its times mean nothing.")
        if added:
            label = manifest.label
            click.echo(f"added: {len(added)} emulated records of {label}. Publish them: zoo publish {label}")
    wrong = [verdict for verdict in verdicts if verdict.why]
    for verdict in wrong:
        told = f"{verdict.target} in {verdict.precision} differs on {arch}: {verdict.why}"
        click.echo(one_line(told), err=True)
    if wrong:
        sys.exit(FOUND)
