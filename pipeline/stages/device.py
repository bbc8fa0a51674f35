"""Stage `device`: a device compiles and measures a bundle, and returns its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.samples import Index
from pipeline.engine.step import StepId
from pipeline.engine.work import Work
from pipeline.retrieval.agreement import answer
from pipeline.settings import Settings
from pipeline.stages.bundle import bundle_file
from pipeline.stages.compile import ARTIFACTS
from pipeline.stages.measure import Embedded, Measure, choose_row, explain_times, make_row
from pipeline.stages.measurement import BrokenVariant, Network, Row, Run
from pipeline.stages.unsupported import check_left
from targets.bundles.archive import read_archive, read_list
from targets.bundles.bundle import BUNDLE_LIST, RESULT_LIST
from targets.contract import Runtime
from targets.errors import LONGEST, BadBundle, first_line
from targets.machine.device import Device
from targets.measuring.conditions import Conditions
from targets.measuring.latency import Latency
from targets.measuring.ratio import Ratio
from targets.settings import Precision

VERSION = 6
LIBRARIES = (*IMAGES, "torch")


class DeviceRow(Settings):
    """Figures of one artifact, from the device."""

    network: Network
    precision: Precision
    latency: list[Latency] = Field(min_length=1)
    ratios: list[Ratio]
    size_bytes: int


class DeviceRefusal(Settings):
    """A variant that the device's runtime refused."""

    network: Network
    precision: Precision
    reason: str = Field(max_length=LONGEST)


class DeviceResult(Settings):
    """The list of a result."""

    measured_at: str
    device: Device
    runtime: Runtime
    threads: int
    conditions: Conditions
    rows: list[DeviceRow] = Field(min_length=1)
    broken: list[DeviceRefusal]


def _row(row: DeviceRow, unpacked: Path, data: Index, settings: Measure, references: Mapping[StepId, Path]) -> Row:
    def embedded_of(split: str) -> np.ndarray:
        rows: np.ndarray = np.load(unpacked / "embeddings" / f"{row.network}-{row.precision}-{split}.npy")
        return rows

    query, gallery = embedded_of("query"), embedded_of("gallery")
    if (len(query), len(gallery)) != (len(data.query), len(data.gallery)) or query.shape[1:] != gallery.shape[1:]:
        raise ValueError("its embeddings do not match the test set")
    judged = None
    if data.gate and row.network == "student":
        gate = embedded_of("gate")
        if gate.shape != (len(data.gate), query.shape[1]):
            raise ValueError("its embeddings do not match the gate's split")
        judged = answer(gate, gate, *data.judged)
    embedded = Embedded(row.network, row.precision, query, gallery, judged)
    reference = references[StepId("reference", row.network)]
    return make_row(embedded, data, reference, settings.rerank, row.latency, row.ratios, row.size_bytes)


def measure_on_device(
    work: Work,
    *,
    data: Index,
    settings: Measure,
    precisions: tuple[Precision, ...],
    max_map_drop_points: float,
    host: str | None,
    python: str,
    bundle: Path,
    result: Path | None,
    references: Mapping[StepId, Path],
) -> None:
    """Write `measurement.json` and, below `artifacts/NETWORK-PRECISION/`, the device's artifacts.

    Args:
        precisions: those that may ship.
        host, python: see `TargetSettings`; None if `result` was copied here.
        bundle: folder of the stage `bundle`.
        result: the device's result of that bundle.
        references: folders of the stage `reference`.

    Raises:
        DeviceError: the device was not reached, or failed.
        BadBundle: the result is damaged, or belongs to another bundle.
        CheckFailed: see `pipeline.stages.measure.choose` and `check_left`.
    """
    archive = bundle_file(bundle)
    if result is None:
        from targets.ssh import run_on_device

        assert host is not None
        result = work.scratch / "result"
        run_on_device(host, python, archive, result, work.progress)
    about = read_archive(result, RESULT_LIST, work.scratch / "unpacked")
    asked = read_list(archive, BUNDLE_LIST)
    if about.get("bundle") != asked["key"]:
        raise BadBundle(
            f"{result.name} is the result of another build of {about.get('release')}. Run the bundle of this build "
            f"({archive.name}) on the device, and copy its result back."
        )
    unpacked = work.scratch / "unpacked"
    try:
        told = DeviceResult.model_validate({name: about.get(name) for name in DeviceResult.model_fields})
        rows = [_row(row, unpacked, data, settings, references) for row in told.rows]
        variants = sorted((one["network"], one["precision"]) for one in asked["variants"])
        ran = [(row.network, row.precision) for row in told.rows]
        if sorted([*ran, *((one.network, one.precision) for one in told.broken)]) != variants:
            raise ValueError("its variants are not the bundle's")
        if ("student", "fp32") not in ran:  # the reference of all others
            raise ValueError("it has no student in fp32")
        for row in told.rows:
            if row.network == "student":  # it may ship
                next((unpacked / ARTIFACTS / f"student-{row.precision}").iterdir())
        (unpacked / ARTIFACTS).rename(work.out / ARTIFACTS)
    except (ValidationError, ValueError, KeyError, OSError, EOFError) as error:
        reason = first_line(error)
        raise BadBundle(f"{result.name} is not a valid result of a bundle ({reason}). Run the bundle again.") from None
    broken = [
        *(BrokenVariant.model_validate(one) for one in asked["broken"]),
        *(BrokenVariant(runtime=told.runtime, **one.model_dump()) for one in told.broken),
    ]
    check_left(broken, precisions)
    chosen, by = choose_row(rows, precisions, max_map_drop_points, told.conditions)
    run = Run(
        device=told.device,
        runtime=told.runtime,
        threads=told.threads,
        conditions=told.conditions,
        measured_at=told.measured_at,
        chosen=chosen,
        chosen_by=by,
        rows=rows,
        broken=tuple(broken),
    )
    if doubt := explain_times(run):
        work.progress.say(doubt)
    run.write(work.out)
