"""Results of a build's stages for one target, as records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.engine.step import COMPACT, StepId, Variant
from pipeline.engine.store import read_record
from pipeline.engine.work import read_json
from pipeline.files import sha256
from pipeline.planning.deployment import graph_of
from pipeline.stages.bundle import bundle_file
from pipeline.stages.calibrate import CALIBRATION
from pipeline.stages.unsupported import BROKEN, Cell
from targets.bundles.archive import read_list
from targets.bundles.bundle import BUNDLE_LIST
from targets.settings import Precision
from zoo.release.measurements import Broken, Estimated, Measurement, Pending, measured_rows

Folders = Mapping[StepId, Path]  # results of steps


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
            run = read_json(folder / "measurement.json")
            at = run.get("measured_at") or read_record(folder)["finished_at"]
            broken = _broken(target, release, at, run["broken"])
            return run["chosen"], [*measured_rows(target, release, data, at, run), *broken]
    return None, [*_waiting(target, release, data, folders)]


def _broken(target: str, release: str, found_at: str, cells: Iterable[Cell]) -> Iterator[Broken]:
    for cell in cells:
        yield Broken.model_validate({"target": target, "release": release, "found_at": found_at, **cell})


def _waiting(target: str, release: str, data: str, folders: Folders) -> Iterator[Measurement]:
    """The bundle, and for each artifact in it the error if it is broken, otherwise the estimated accuracy."""
    folder = folders[StepId("bundle", target=target)]
    archive, found_at = bundle_file(folder), read_record(folder)["finished_at"]
    yield Pending(target=target, release=release, bundle=archive.name, bundle_sha256=sha256(archive))
    listed = read_list(archive, BUNDLE_LIST)
    yield from _broken(target, release, found_at, listed["broken"])
    for variant in (Variant(one["network"], one["precision"]) for one in listed["variants"]):
        cell = variant._asdict()
        ahead = folders.get(StepId("compile", *variant, target))
        judged = folders[graph_of(variant, target)] / CALIBRATION
        if ahead and (ahead / BROKEN).exists():
            yield from _broken(target, release, found_at, [{**cell, **read_json(ahead / BROKEN)}])
        elif variant.network == "student" and judged.exists():
            found, in_torch = read_json(judged), read_json(folders[COMPACT] / "accuracy.json")
            expected = {
                "map": in_torch["map"] - found["agreement"]["map_drop_points"],
                "agreement": found["agreement"],
                "method": (
                    "loss of the device's graph on the gate's split, measured with "
                    f"{found['judge']} on the build machine"
                ),
            }
            yield Estimated.model_validate({"target": target, "release": release, "data": data, **cell, **expected})
