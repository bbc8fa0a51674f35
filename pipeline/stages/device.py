"""Stage `device`: a bundle is compiled and measured on its device, and figures come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.samples import Index
from pipeline.stages.bundle import bundle_file
from pipeline.stages.compile import ARTIFACTS
from pipeline.stages.measure import Embedded, Measure, accuracy_row, chosen
from pipeline.work import Work
from targets.archive import read_archive, read_list
from targets.bundle import BUNDLE_LIST, RESULT_LIST
from targets.errors import BadBundle

VERSION = 1
LIBRARIES = (*IMAGES, "torch")


def measure_on_device(
    work: Work,
    *,
    data: Index,
    settings: Measure,
    precision: str,
    max_map_drop_points: float,
    host: str | None,
    python: str,
    bundle: Path,
    result: Path | None,
    **references: Path,
) -> None:
    """Write `measurement.json` and, below `artifacts/NETWORK-PRECISION/`, what the device compiled.

    Args:
        host, python: see `TargetSettings`; none if `result` was brought by hand.
        bundle: folder of the stage `bundle`.
        result: what the device made of that bundle.
        references: folders of the stage `reference` by `reference/subject`.

    Raises:
        DeviceError: the device was not reached, or could not do it.
        BadBundle: the result is damaged, or is another bundle's.
        CheckFailed: see `pipeline.stages.measure.choose`.
    """
    archive = bundle_file(bundle)
    if result is None:
        from targets.ssh import run_on_device

        assert host is not None
        result = work.scratch / "result"
        run_on_device(host, python, archive, result, work.progress)
    about = read_archive(result, RESULT_LIST, work.scratch / "unpacked")
    if about.get("bundle") != read_list(archive, BUNDLE_LIST)["key"]:
        raise BadBundle(
            f"{result.name} is the result of another build of {about.get('release')}. Take the bundle of this build "
            f"({archive.name}) to the device, and bring back what it gives."
        )
    rows = []
    for row in about["rows"]:
        name = f"{row['network']}-{row['precision']}"
        query, gallery = (
            np.load(work.scratch / "unpacked" / "embeddings" / f"{name}-{split}.npy") for split in ("query", "gallery")
        )
        embedded = Embedded(row["network"], row["precision"], query, gallery)
        accuracy = accuracy_row(embedded, data, references[f"reference/{row['network']}"], settings.rerank)
        rows.append({**accuracy, **{key: row[key] for key in ("latency", "ratios", "size_bytes")}})
    (work.scratch / "unpacked" / ARTIFACTS).rename(work.out / ARTIFACTS)
    told = ("measured_at", "device", "runtime", "threads", "conditions")
    work.write_json(
        "measurement.json",
        {
            "kind": "measured",
            **{key: about[key] for key in told},
            "chosen": chosen(rows, precision, max_map_drop_points),
            "rows": rows,
        },
    )
