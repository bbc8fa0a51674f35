"""Results of a build's stages for one target, as records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.engine.step import COMPACT, StepId, Variant
from pipeline.engine.store import read_record
from pipeline.engine.work import read_json
from pipeline.planning.deployment import graph_of
from pipeline.planning.foreign import REFERENCE
from pipeline.stages.bundle import bundle_file
from pipeline.stages.calibrate import CALIBRATION
from pipeline.stages.measurement import BrokenVariant, Run
from pipeline.stages.unsupported import read_refusal
from targets.bundles.archive import read_list
from targets.bundles.contents import BUNDLE_LIST
from targets.files import sha256
from targets.settings import Precision
from zoo.release.measurements import Broken, Estimated, Measurement, Pending, measured_rows

Folders = Mapping[StepId, Path]  # results of steps


def student_accuracy(folders: Folders) -> Path:
    """The file with the accuracy of the network that ships, before any runtime: in torch, or of a foreign graph."""
    return folders[COMPACT if COMPACT in folders else REFERENCE] / "accuracy.json"


def target_records(
    target: str, release: str, data: str, folders: Folders
) -> tuple[Precision | None, list[Measurement]]:
    """Records of one target: measured here or on its device, or what is known while the device has not run yet.

    Args:
        release: name@version.
        data: fingerprint of the data set.
    """
    for stage in ("measure", "device"):
        if folder := folders.get(StepId(stage, target=target)):
            run = Run.read(folder)
            at = run.measured_at or read_record(folder)["finished_at"]
            broken = _broken(target, release, at, run.broken)
            return run.chosen, [*measured_rows(target, release, data, at, run), *broken]
    return None, [*_waiting(target, release, data, folders)]


def _broken(target: str, release: str, found_at: str, variants: Iterable[BrokenVariant]) -> Iterator[Broken]:
    for one in variants:
        yield Broken(target=target, release=release, found_at=found_at, **dict(one))


def _waiting(target: str, release: str, data: str, folders: Folders) -> Iterator[Measurement]:
    """The bundle, and for each artifact in it the error if it is broken, otherwise the estimated accuracy."""
    folder = folders[StepId("bundle", target=target)]
    archive, found_at = bundle_file(folder), read_record(folder)["finished_at"]
    yield Pending(target=target, release=release, bundle=archive.name, bundle_sha256=sha256(archive))
    listed = read_list(archive, BUNDLE_LIST)
    yield from _broken(target, release, found_at, map(BrokenVariant.model_validate, listed["broken"]))
    for variant in (Variant(one["network"], one["precision"]) for one in listed["variants"]):
        ahead = folders.get(StepId("compile", *variant, target))
        judged = folders[graph_of(variant, target)] / CALIBRATION
        refusal = read_refusal(ahead) if ahead else None
        if refusal:
            yield from _broken(target, release, found_at, [BrokenVariant.of(variant, refusal)])
        elif variant.network == "student" and judged.exists():
            found, in_torch = read_json(judged), read_json(student_accuracy(folders))
            expected = {
                "map": in_torch["map"] - found["agreement"]["map_drop_points"],
                "agreement": found["agreement"],
                "method": (
                    "loss of the device's graph on the gate's split, measured with "
                    f"{found['judge']} on the build machine"
                ),
            }
            yield Estimated.model_validate(
                {"target": target, "release": release, "data": data, **variant._asdict(), **expected}
            )
